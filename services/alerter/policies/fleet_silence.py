"""Alert when so many nodes fell silent at once that we suspect ourselves."""

from __future__ import annotations

from services.alerter.state import Condition, View

RULE = "fleet_silence"


def conditions(view: View) -> list[Condition]:
    """Return a condition for a suspected silence, if there is one."""
    state = view.state
    if state.silence is None:
        return []
    event = state.silence.event
    return [
        Condition(
            RULE,
            "fleet",
            "critical",
            f"{event.silent} of {event.nodes} nodes fell silent within {event.window_s:.0f} s:"
            " nothing is evicted",
            state.silence.position,
            {"silent": event.silent, "nodes": event.nodes, "window_s": event.window_s},
            state.silence.cause,
        )
    ]
