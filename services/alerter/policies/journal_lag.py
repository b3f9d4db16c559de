"""Alert when what is recorded is published late: everybody acts on what was."""

from __future__ import annotations

from services.alerter.state import Condition, View

RULE, SUBJECT = "journal_lag", "log"


def conditions(view: View) -> list[Condition]:
    """Return a condition while the oldest event that nobody was told waits for too long."""
    lag, behind_s = view.lag, view.state.limit(RULE, "behind_s")
    if lag is None:
        return view.as_it_was(RULE, SUBJECT)
    if lag.published_behind_s <= behind_s:
        return []
    return [
        Condition(
            RULE,
            SUBJECT,
            "critical",
            f"what is recorded is told {lag.published_behind_s:.0f} s late:"
            f" position {lag.published} of {lag.head} is published",
            view.state.position,
            {"behind_s": lag.published_behind_s, "head": lag.head},
        )
    ]
