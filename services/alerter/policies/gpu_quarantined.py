"""Alert when a GPU may not be used because something unknown may run on it."""

from __future__ import annotations

from services.alerter.state import Condition, View

RULE = "gpu_quarantined"


def conditions(view: View) -> list[Condition]:
    """Return a condition for each GPU in quarantine."""
    state = view.state
    return [
        Condition(
            RULE,
            gpu_uuid,
            "warning",
            f"GPU {gpu_uuid} of node {state.nodes.get(since.event.node_id, since.event.node_id)}"
            f" is in quarantine: {since.event.because}",
            since.position,
            {"node_id": since.event.node_id, "instance_id": since.event.instance_id},
            since.cause,
        )
        for gpu_uuid, since in state.quarantined.items()
    ]
