"""What the fleet looks like, as gauges: counts by state, also of the states nothing is in."""

from __future__ import annotations

from collections import Counter
from contextlib import ExitStack
from typing import TYPE_CHECKING

from services.chassis import metering

if TYPE_CHECKING:
    from collections.abc import Iterable

    from services.chassis.metering import Readings
    from services.scheduler.state import State

GPU_STATES = (
    "free",
    "held",
    "node_offline",
    "node_silent",
    "not_offered",
    "quarantined",
    "foreign_process",
    "not_reported",
)
PHASES = ("requested", "ready", "stopping")


def fleet_gauges(state: State) -> ExitStack:
    """Return what shows the fleet while it is open."""
    stack = ExitStack()
    stack.enter_context(metering.gauge("quartermaster.gpus", lambda: _gpus(state)))
    stack.enter_context(metering.gauge("quartermaster.instances", lambda: _instances(state)))
    stack.enter_context(metering.gauge("quartermaster.nodes", lambda: _nodes(state)))
    return stack


def _gpus(state: State) -> Readings:
    found = (gpu.cause for gpu in state.gpus.values() if gpu.cause is not None)
    return _counted("quartermaster.gpu.state", GPU_STATES, found)


def _instances(state: State) -> Readings:
    found = (each.phase for each in state.instances.values() if each.ended is None)
    return _counted("quartermaster.instance.state", PHASES, found)


def _nodes(state: State) -> Readings:
    found = (
        "online" if node.online else "offline" for node in state.nodes.values() if not node.deleted
    )
    return _counted("quartermaster.node.state", ("online", "offline"), found)


def _counted(name: str, states: Iterable[str], found: Iterable[str]) -> Readings:
    counts = Counter(found)
    return [(counts[each], {name: each}) for each in dict.fromkeys([*states, *counts])]
