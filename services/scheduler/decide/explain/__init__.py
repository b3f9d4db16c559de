"""Explaining: the same decision asked again, with its reasons, what lost, and what would do."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING

from contracts.http.explain import MAX_ALTERNATIVES, Explanation
from services.scheduler.decide.explain.case import FEW, Case
from services.scheduler.decide.explain.of_hardware import of_gpu, of_node
from services.scheduler.decide.explain.of_instance import of_instance
from services.scheduler.decide.explain.of_model import SATISFIED, of_model
from services.scheduler.decide.explain.probes import (
    TO_STOP,
    gpu_usable,
    longer_queue,
    node_online,
    to_start,
)
from services.scheduler.decide.explain.recorded import history_of, lost
from services.scheduler.decide.explain.search import Exhausted, Goal, WhatIf
from services.scheduler.decide.explain.view import Found, View
from services.scheduler.state.fleet import FREE, HELD
from services.scheduler.state.memory import KEPT

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from contracts.http.explain import Counterfactual
    from services.scheduler.decide.explain.search import Steps
    from services.scheduler.state import State
    from services.scheduler.state.entities import Model

    Told = Steps[list[Counterfactual]]

WORTH = 9_000  # models and GPUs looked at for one question: a larger fleet is asked less often
FEWEST_RUNS, MOST_RUNS = 6, 40
MOST_BACK = 4


def explain(view: View) -> Steps[Explanation]:
    """Return all there is to say of a subject, in steps: the state may not change meanwhile."""
    found = OF[view.subject.kind](view)
    yield
    what_if = WhatIf(view.now, runs_for(view.state))
    counterfactuals: list[Counterfactual] = []
    try:
        for search in _searches(view, found, what_if):
            counterfactuals += yield from search
    except Exhausted:
        pass  # told is what was found: `tried` says how often it was decided again
    return _explanation(view, found, counterfactuals, what_if.tried)


def runs_for(state: State) -> int:
    """Return how often one question is worth deciding again in a fleet of this size."""
    size = len(state.models) + len(state.gpus) + 1
    return max(FEWEST_RUNS, min(MOST_RUNS, WORTH // size))


OF = {"model": of_model, "instance": of_instance, "gpu": of_gpu, "node": of_node}


def _explanation(
    view: View, found: Found, counterfactuals: Iterable[Counterfactual], tried: int
) -> Explanation:
    names, subject = view.names, view.subject
    says = {"model": names.model, "node": names.node, "gpu": names.gpu}.get(subject.kind)
    return Explanation(
        kind=subject.kind,
        id=subject.id,
        name=says(subject.id) if says else subject.id,
        status=found.status,
        position=view.position,
        at=view.now,
        sentence=found.sentence,
        reasons=tuple(found.reasons),
        alternatives=tuple(lost(each, names) for each in found.lost[:MAX_ALTERNATIVES]),
        rejected=dict(found.rejected),
        counterfactuals=tuple(counterfactuals),
        tried=tried,
        history=history_of(view.facts, names),
        earlier_before=_earlier(view),
    )


def _earlier(view: View) -> int | None:
    """Return from where on older facts can be asked for, None when all are told."""
    positions = view.subject.positions
    return positions[0] - 1 if len(positions) >= KEPT and positions[0] > 1 else None


def _searches(view: View, found: Found, what_if: WhatIf) -> Iterator[Told]:
    """Yield the searches for what would change the outcome, the most telling ones first."""
    subject, state = view.subject, view.state
    if subject.kind == "model" and subject.id in state.models:
        yield from _of_model(view, found, what_if, state.models[subject.id])
    elif subject.kind == "instance":
        yield from _of_instance(view, what_if, subject.id)
    elif subject.kind == "gpu":
        yield from _of_gpu(view, what_if)
    elif subject.kind == "node":
        yield from _of_node(view, what_if)


def _of_model(view: View, found: Found, what_if: WhatIf, model: Model) -> Iterator[Told]:
    start = Goal(model_id=model.model_id, live=model.live)
    # What is under way is over before anything else begins: nothing changes it now.
    if view.plan.in_flight(model) is None and start.effect(view.plan) is None:
        case = Case(view, what_if, start)
        yield from (probe(case, model) for probe in to_start(found.reasons[0].code))
    stop = Goal(model_id=model.model_id, stops=True)
    if (
        found.reasons[0].code in SATISFIED
        and model.counts["ready"]
        and stop.effect(view.plan) is None
    ):
        case = Case(view, what_if, stop)
        yield from (probe(case, model) for probe in TO_STOP)


def _of_instance(view: View, what_if: WhatIf, instance_id: str) -> Iterator[Told]:
    instance = view.state.instances.get(instance_id)
    model = view.state.models.get(instance.model_id) if instance else None
    goal = Goal(instance_id=instance_id, stops=True)
    if instance is None or model is None:
        return
    if instance.kind == "unreachable":
        yield from _back(view, what_if, [instance_id])
    if instance.kind != "ready" or goal.effect(view.plan):
        return
    case = Case(view, what_if, goal)
    yield from (probe(case, model) for probe in TO_STOP)


def _back(view: View, what_if: WhatIf, instance_ids: Iterable[str]) -> Iterator[Told]:
    """Yield searches for what would bring instances back that are out of reach."""
    for instance_id in islice(instance_ids, MOST_BACK):
        instance = view.state.instances[instance_id]
        model = view.state.models.get(instance.model_id)
        if instance.kind == "unreachable" and model is not None:
            case = Case(view, what_if, Goal(model_id=model.model_id, live=model.live))
            yield node_online(case, view.state.nodes[instance.node_id])


def _of_gpu(view: View, what_if: WhatIf) -> Iterator[Told]:
    gpu = view.state.gpus.get(view.subject.id)
    if gpu is None or not gpu.present:
        return
    if gpu.cause == HELD and gpu.held_by is not None:
        yield from _of_instance(view, what_if, gpu.held_by)
        return
    if gpu.held_by in view.state.instances:
        yield from _back(view, what_if, [str(gpu.held_by)])
    case = Case(view, what_if, Goal(gpu_uuid=gpu.uuid))
    node = view.state.nodes[gpu.node_id]
    if case.goal.effect(view.plan) is not None:
        return
    if not node.reachable:
        yield node_online(case, node)
    elif gpu.cause == FREE:
        yield from _rivals(case, node.node_id)
    else:
        yield gpu_usable(case, gpu)


def _of_node(view: View, what_if: WhatIf) -> Iterator[Told]:
    node = view.state.nodes[view.subject.id]
    case = Case(view, what_if, Goal(node_id=node.node_id))
    if node.deleted or case.goal.effect(view.plan) is not None:
        return
    if not node.reachable:
        yield from _back(view, what_if, node.instances)
        yield node_online(case, node)
    elif node.free:
        yield from _rivals(case, node.node_id)


def _rivals(case: Case, node_id: str) -> Iterator[Told]:
    """Yield searches for what would let a model that could come here want it."""
    rivals = case.rivals(without=None, name_fits=node_id)
    yield from (longer_queue(case, model) for model in islice(rivals, FEW))
