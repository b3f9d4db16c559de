"""Alert when a model's queue cannot be read, until it can be again."""

from __future__ import annotations

from services.alerter.state import Condition, View

RULE = "queue_unreachable"


def conditions(view: View) -> list[Condition]:
    """Return a condition for each queue that cannot be read."""
    state = view.state
    return [
        Condition(
            RULE,
            model_id,
            "warning",
            f"the queue of model {state.models.get(model_id, model_id)} cannot be read:"
            f" {since.event.detail}",
            since.position,
            {"model": state.models.get(model_id), "code": since.event.code},
            since.cause,
        )
        for model_id, since in state.unreachable.items()
    ]
