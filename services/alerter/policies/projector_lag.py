"""Alert when the read models are far behind the log: people read what was."""

from __future__ import annotations

from services.alerter.state import Condition, View

RULE, SUBJECT = "projector_lag", "read-models"


def conditions(view: View) -> list[Condition]:
    """Return a condition while the oldest event that nobody can read waits for too long."""
    lag, behind_s = view.lag, view.state.limit(RULE, "behind_s")
    if lag is None:
        return view.as_it_was(RULE, SUBJECT)
    if (lag.read_models_behind_s or 0.0) <= behind_s:
        return []
    return [
        Condition(
            RULE,
            SUBJECT,
            "warning",
            f"the read models are {lag.read_models_behind_s:.0f} s behind the log:"
            " people read what was",
            view.state.position,
            {"behind_s": lag.read_models_behind_s, "head": lag.head},
        )
    ]
