"""Asking why, as the scheduler answers it, and changing one thing in the log to see what comes."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from contracts.envelope import Recorded
from contracts.events import gpu as g
from contracts.events import instance as i
from contracts.events import node as n
from contracts.events import queue as q
from contracts.events.strategy import StrategyActivated
from contracts.types import GpuUse
from services.scheduler.decide import decide
from services.scheduler.decide.explain import explain
from services.scheduler.decide.explain.subject import find
from services.scheduler.decide.explain.view import View
from services.scheduler.state import State
from tests import builders as b

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from contracts.http.explain import Change, Counterfactual, Explanation
    from tests.spec import Spec


HOUR_S = 3600.0


def why(spec: Spec[State], kind: Any, id_: str) -> Explanation:
    """Explain a subject by the story's state and log, which stay as they are."""
    before = repr(spec.state)
    subject = find(spec.state, kind, id_)
    assert subject is not None, f"there is no {kind} {id_}"
    facts = [
        event
        for event in spec.log.events
        if event.position in subject.positions or event.stream == subject.stream
    ]
    view = View(spec.state, spec.state.position, spec.log.now, subject, facts)
    steps = explain(view)
    while True:
        try:
            next(steps)
        except StopIteration as done:
            assert repr(spec.state) == before, "explaining changed the state"
            found: Explanation = done.value
            return found


def would(found: Explanation, code: str) -> Counterfactual:
    """Return the only counterfactual with this code."""
    (one,) = [each for each in found.counterfactuals if each.code == code]
    return one


def folded(events: Iterable[Recorded]) -> State:
    state = State()
    for event in events:
        state.apply(event)
    return state


def changed(events: Sequence[Recorded], change: Change, now: datetime) -> tuple[State, datetime]:
    """Return the fleet as the log would tell it with this one thing different."""
    state = folded(events)
    _kind, _, id_ = change.subject.partition("/")
    amount: Any = change.needed
    news: list[Any]
    match change.field:
        case "mean_queue_length":
            told = _lengths(events, id_, amount, now)
            # What was sampled before a model was there, or in another queue, is not its own.
            if not any(at_s > now.timestamp() - HOUR_S for at_s in state.models[id_].samples.at_s):
                told.append(_recorded(b.sampled(id_, amount), now))
            return folded(told), now
        case "quiet_s":
            return folded(_quiet(events, id_, amount, now)), now
        case "waits":
            return state, now + timedelta(seconds=amount)
        case "max_instances" | "min_instances":
            model = state.models[id_]
            bounds = {"max_instances": model.max_instances, "min_instances": model.min_instances}
            news = [
                b.model_updated(
                    id_,
                    name=model.name,
                    average_inference_time_s=model.average_inference_time_s,
                    **{**bounds, change.field: amount},
                )
            ]
        case "free_gpus":
            supported = change.unit.removeprefix("GPUs of nodes that support ").split(", ")
            news = b.a_node("what-if", gpus=amount, supported=supported)
        case "online":
            boot_id = state.nodes[id_].boot_id or "boot"
            news = [b.online(id_, boot_id), _clean(state, state.nodes[id_].gpus, boot_id)]
        case "supports":
            news = [_supports(state, id_, change.unit)]
        case "offered":
            gpu = state.gpus[id_]
            offered = (*state.nodes[gpu.node_id].offered, gpu.index)
            registered = b.a_registered_node(gpu.node_id, available_gpu_ids=offered)
            news = [n.NodeUpdated(**registered.model_dump())]
        case "clean":
            node_id = state.gpus[id_].node_id
            news = [_clean(state, [id_], state.nodes[node_id].boot_id)]
            if state.gpus[id_].quarantined:
                news.append(g.GpuReleased(gpu_uuid=id_, node_id=node_id, because="clean"))
        case "active":
            news = [StrategyActivated(strategy_id=id_)]
        case "suspected":
            news = [b.silence_cleared()]
        case _:
            raise AssertionError(change.field)
    return folded([*events, *(_recorded(event, now) for event in news)]), now


def _recorded(event: Any, at: datetime) -> Recorded:
    return replace(b.Log(at).record(event), position=10**6)


def _lengths(
    events: Sequence[Recorded], model_id: str, length: int, now: datetime
) -> list[Recorded]:
    """Return the log with every sample of the last hour as long as this."""
    since, told = now - timedelta(seconds=HOUR_S), []
    for event in events:
        mine = event.type == q.QueueSampled.type and event.data["model_id"] == model_id
        if mine and event.recorded_at > since:
            data = {**event.data, "length": length, "published_total": None}
            told.append(replace(event, data=data))
        elif not mine:
            told.append(event)
    return told


def _quiet(events: Sequence[Recorded], model_id: str, for_s: int, now: datetime) -> list[Recorded]:
    """Return the log with nothing asked of a model for so long, and nothing known before."""
    told = [
        event
        for event in events
        if event.type != q.QueueSampled.type or event.data["model_id"] != model_id
    ]
    first = now - timedelta(seconds=for_s, milliseconds=1)
    moments = [first + timedelta(seconds=60 * k) for k in range(for_s // 60 + 1)]
    return [*told, *(_recorded(b.sampled(model_id, 0), at) for at in (*moments, now))]


def _clean(state: State, uuids: Iterable[str], boot_id: str | None) -> n.NodeReported:
    gpus = [state.gpus[uuid] for uuid in uuids]
    return n.NodeReported(
        node_id=gpus[0].node_id if gpus else "none",
        boot_id=boot_id or "boot",
        gpus=tuple(GpuUse(uuid=gpu.uuid, index=gpu.index) for gpu in gpus),
    )


def _supports(state: State, node_id: str, name: str) -> n.NodeInventoryChanged:
    node = state.nodes[node_id]
    return n.NodeInventoryChanged(
        node_id=node_id,
        boot_id=node.boot_id or "boot",
        gpus=tuple(GpuUse(uuid=u, index=state.gpus[u].index) for u in node.gpus),
        supported_models=(*node.supported, name),
    )


def happens(state: State, now: datetime, told: Counterfactual, live: int | None = None) -> bool:
    """Return whether deciding does what was told, whoever and wherever else it does it to."""
    effect = told.effect
    events = [draft.event for drafts in decide(state, now, 1) for draft in drafts]
    starts = [e for e in events if isinstance(e, i.InstanceStartRequested)]
    stops = [e for e in events if isinstance(e, i.InstanceStopRequested)]
    if effect.code == "starts":
        return any(_same(effect, event) for event in starts)
    if effect.code == "makes_room":
        return any(
            event.instance_id == effect.instance_id and event.replaced_by == effect.model_id
            for event in stops
        )
    if effect.code == "serves_again":
        return live is None or state.models[effect.model_id].live > live
    return any(event.instance_id == effect.instance_id for event in stops)


def _same(effect: Any, event: Any) -> bool:
    return (event.model_id, event.node_id) == (effect.model_id, effect.node_id)
