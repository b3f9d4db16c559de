"""Alert when an agent is unheard for long while instances of ours may run there."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta

from services.alerter.state import Condition, View

RULE = "agent_lost"


def conditions(view: View) -> list[Condition]:
    """Return a condition for each node that holds GPUs and was offline for so long.

    What runs there goes on, or does not: nobody can tell, and its GPUs stay taken.
    """
    state, lost_s = view.state, view.state.limit(RULE, "lost_s")
    held = Counter(state.held.values()) if state.offline else Counter()
    return [
        Condition(
            RULE,
            node_id,
            "critical",
            f"the agent of node {state.nodes.get(node_id, node_id)} is unheard for"
            f" {lost_s:.0f} s, and {held[node_id]} of its GPUs hold instances of ours",
            since.position,
            {"node": state.nodes.get(node_id), "lost_s": lost_s, "gpus": held[node_id]},
            since.cause,
        )
        for node_id, since in state.offline.items()
        if held[node_id] and view.now - since.at >= timedelta(seconds=lost_s)
    ]
