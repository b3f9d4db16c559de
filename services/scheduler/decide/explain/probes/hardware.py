"""Probes of nodes and GPUs: what if there were more, or they could be used."""

from __future__ import annotations

from functools import partial
from itertools import islice
from typing import TYPE_CHECKING

from contracts.http.explain import Change
from services.scheduler.decide.explain import changes
from services.scheduler.decide.explain.case import FEW, flag
from services.scheduler.decide.explain.search import Goal
from services.scheduler.state.fleet import FREE, HELD

if TYPE_CHECKING:
    from collections.abc import Iterator

    from contracts.http.explain import Counterfactual
    from services.scheduler.decide.explain.case import Case
    from services.scheduler.decide.explain.search import Steps
    from services.scheduler.state import State
    from services.scheduler.state.entities import Gpu, Model, Node

    Told = Steps[list[Counterfactual]]


MOST_GPUS = 16


def more_free_gpus(case: Case, model: Model) -> Told:
    """Try more free GPUs of the kind that can serve it: the fewest that do it."""
    support = _kind_of_node(case, model)
    make = partial(changes.more_gpus, case.state, case.now, support)
    found = yield from case.smallest(make, 0, MOST_GPUS, 1)
    if found is None:
        return []
    count, effect = found
    change = Change(
        subject=f"model/{model.model_id}",
        field="free_gpus",
        today=0,
        needed=count,
        unit=f"GPUs of nodes that support {', '.join(support)}",
    )
    more = "one more GPU" if count == 1 else f"{count} more GPUs"
    condition = f"{more} that can serve it were free"
    first = None if count == 1 else (yield from _first_taker(case, make(count - 1)))
    others = f" (before it, {first} gets one)" if first else ""
    return [case.tell("more_free_gpus", f"{condition}{others}", change, effect)]


def _first_taker(case: Case, state: State) -> Steps[str | None]:
    """Return the name of the model that takes the first of GPUs that are not enough."""
    effect = yield from case.what_if.happens(Goal(node_id=changes.EXTRA), state)
    return case.view.names.model(effect.model_id) if effect else None


def _kind_of_node(case: Case, model: Model) -> tuple[str, ...]:
    """Return what the nodes support that serve a model: the kind with the most GPUs."""
    pools = case.state.pools.supporting(model.name)
    best = max(pools, key=lambda pool: sum(pool.causes.values()), default=None)
    return best.supported if best is not None else (model.name,)


def nodes_online(case: Case, model: Model) -> Told:
    """Try each node that is out of reach and could serve it."""
    found = []
    for node in islice(_away(case, model), FEW):
        found += yield from node_online(case, node)
    return found


def node_online(case: Case, node: Node) -> Told:
    """Try a node that answers again."""
    if node.boot_id is None or node.deleted:
        return []
    effect = yield from case.happens(changes.node_online(case.state, case.now, node.node_id))
    if effect is None:
        return []
    change = flag(f"node/{node.node_id}", "online", needed=True)
    condition = f"{case.view.names.node(node.node_id)} were online"
    return [case.tell("node_online", condition, change, effect)]


def _away(case: Case, model: Model) -> Iterator[Node]:
    for node in case.state.nodes.values():
        if not node.online and not node.deleted and node.supports(model.name):
            yield node


def gpus_usable(case: Case, model: Model) -> Told:
    """Try, of each cause that keeps a GPU from being given away, one GPU without it."""
    tried: dict[str, Gpu] = {}
    for gpu in case.state.gpus.values():
        node = case.state.nodes[gpu.node_id]
        if gpu.present and node.reachable and node.supports(model.name):
            tried.setdefault(gpu.cause or FREE, gpu)
    found = []
    for cause, gpu in tried.items():
        if cause not in (FREE, HELD, "node_offline", "node_silent"):
            found += yield from gpu_usable(case, gpu)
    return found


def gpu_usable(case: Case, gpu: Gpu) -> Told:
    """Try a GPU without what stands against it."""
    place = case.view.names.gpu(gpu.uuid)
    if gpu.cause == "not_offered":
        state = changes.gpu_offered(case.state, case.now, gpu)
        condition, field = f"{place} were offered by its node's settings", "offered"
    else:
        state = changes.gpu_clean(case.state, case.now, gpu)
        condition, field = f"{place} were reported clean", "clean"
    effect = yield from case.happens(state)
    if effect is None:
        return []
    change = flag(f"gpu/{gpu.uuid}", field, needed=True)
    return [case.tell(f"gpu_{field}", condition, change, effect)]


def nodes_supporting(case: Case, model: Model) -> Told:
    """Try nodes that answer and do not support it, those with a free GPU first."""
    others = [n for n in case.state.nodes.values() if n.reachable and not n.supports(model.name)]
    others.sort(key=lambda node: (-len(node.free), node.node_id))
    found = []
    for node in others[:FEW]:
        state = changes.node_supports(case.state, case.now, node, model.name)
        effect = yield from case.happens(state)
        if effect is not None:
            change = flag(f"node/{node.node_id}", "supports", needed=True, unit=model.name)
            condition = f"{case.view.names.node(node.node_id)} supported {model.name}"
            found.append(case.tell("node_supports", condition, change, effect))
    return found
