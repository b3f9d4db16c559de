"""PROBES: what could be different. Each tries one kind of change and tells what truly follows."""

from __future__ import annotations

from typing import TYPE_CHECKING

from services.scheduler.decide.explain.probes.bounds import fewer_instances, more_instances
from services.scheduler.decide.explain.probes.hardware import (
    gpu_usable,
    gpus_usable,
    more_free_gpus,
    node_online,
    nodes_online,
    nodes_supporting,
)
from services.scheduler.decide.explain.probes.queues import (
    itself_quiet,
    longer_queue,
    others_quiet,
    rivals_busy,
)
from services.scheduler.decide.explain.probes.rules import later, silence_over, strategies_active

if TYPE_CHECKING:
    from collections.abc import Callable

    from contracts.http.explain import Counterfactual
    from services.scheduler.decide.explain.case import Case
    from services.scheduler.decide.explain.search import Steps
    from services.scheduler.state.entities import Model

    Probe = Callable[[Case, Model], Steps[list[Counterfactual]]]

__all__ = ["TO_START", "TO_STOP", "gpu_usable", "longer_queue", "node_online", "to_start"]

TO_START: tuple[Probe, ...] = (
    silence_over,
    strategies_active,
    later,
    nodes_online,
    more_free_gpus,
    longer_queue,
    gpus_usable,
    nodes_supporting,
    more_instances,
    others_quiet,
)
TO_STOP: tuple[Probe, ...] = (itself_quiet, rivals_busy, fewer_instances)
# What is looked at first where a code dominates: a question is worth only so many tries.
FIRST: dict[str, tuple[Probe, ...]] = {
    "enough": (longer_queue, more_instances),
    "not_busy": (longer_queue, more_instances),
    "nothing_asked": (longer_queue, more_instances),
    "nothing_known": (longer_queue, more_instances),
    "at_max_instances": (more_instances,),
    "no_free_gpu": (more_free_gpus, others_quiet),
    "no_node_supports": (nodes_supporting,),
}


def to_start(code: str) -> tuple[Probe, ...]:
    """Return the probes that could let a model start, the most telling ones first."""
    first = FIRST.get(code, ())
    return (*first, *(probe for probe in TO_START if probe not in first))
