"""Alert when an instance is on its way, to ready or to its end, for far longer than it may be."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta

from contracts.events.instance import InstanceStartRequested, InstanceStopRequested
from services.alerter.state import Condition, Since, View

RULE = "instance_stuck"
Way = Since[InstanceStartRequested] | Since[InstanceStopRequested]


def conditions(view: View) -> list[Condition]:
    """Return a condition for each instance that neither starts nor ends; its GPU is of no use.

    What a deleted node left is not among them: whoever deleted it knows.
    """
    state = view.state
    return [
        *_late(view, state.starting, "start_s", "is not ready"),
        *_late(view, state.stopping, "stop_s", "has not ended"),
    ]


def _late(view: View, ways: Mapping[str, Way], limit: str, what: str) -> list[Condition]:
    state, limit_s = view.state, view.state.limit(RULE, limit)
    return [
        _condition(view, since, f"{what} after {limit_s:.0f} s")
        for since in ways.values()
        if since.event.node_id in state.nodes and view.now - since.at >= timedelta(seconds=limit_s)
    ]


def _condition(view: View, since: Way, what: str) -> Condition:
    event, state = since.event, view.state
    model, node = state.models.get(event.model_id, event.model_id), state.nodes[event.node_id]
    return Condition(
        RULE,
        event.instance_id,
        "critical",
        f"instance {event.instance_id} of {model} on node {node} {what}, and holds GPU"
        f" {event.gpu_uuid}",
        since.position,
        {"model_id": event.model_id, "node_id": event.node_id, "gpu_uuid": event.gpu_uuid},
        since.cause,
    )
