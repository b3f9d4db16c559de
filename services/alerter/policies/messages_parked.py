"""Alert when messages are parked: somebody said something that was never recorded."""

from __future__ import annotations

from services.alerter.state import Condition, View

RULE, SUBJECT = "messages_parked", "qm.parked"


def conditions(view: View) -> list[Condition]:
    """Return a condition while more messages are parked than are none of anybody's business."""
    lag = view.lag
    if lag is None:
        return view.as_it_was(RULE, SUBJECT)
    if lag.parked <= view.state.limit(RULE, "messages"):
        return []
    said = "1 message is" if lag.parked == 1 else f"{lag.parked} messages are"
    return [
        Condition(
            RULE,
            SUBJECT,
            "warning",
            f"{said} parked: look with `quartermaster parked list`",
            view.state.position,
            {"messages": lag.parked},
        )
    ]
