"""Alert when a node has gone offline, until it is back or has left the fleet."""

from __future__ import annotations

from services.alerter.state import Condition, View

RULE = "node_offline"


def conditions(view: View) -> list[Condition]:
    """Return a condition for each node that is offline."""
    state = view.state
    return [
        Condition(
            RULE,
            node_id,
            "critical",
            f"node {state.nodes.get(node_id, node_id)} has not answered for"
            f" {since.event.silent_s:.0f} s",
            since.position,
            {"node": state.nodes.get(node_id), "silent_s": since.event.silent_s},
            since.cause,
        )
        for node_id, since in state.offline.items()
    ]
