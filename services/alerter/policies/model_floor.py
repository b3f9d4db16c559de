"""Alert when a model has fewer instances than its floor, until it has them again."""

from __future__ import annotations

from services.alerter.state import Condition, View

RULE = "model_floor"


def conditions(view: View) -> list[Condition]:
    """Return a condition for each model below its floor."""
    state = view.state
    return [
        Condition(
            RULE,
            model_id,
            "critical" if since.event.instances == 0 else "warning",
            f"model {state.models.get(model_id, model_id)} has {since.event.instances} of"
            f" {since.event.floor} instances: {since.event.reason.code}",
            since.position,
            {
                "model": state.models.get(model_id),
                "instances": since.event.instances,
                "floor": since.event.floor,
                "code": since.event.reason.code,
            },
            since.cause,
        )
        for model_id, since in state.floors.items()
    ]
