"""Why a GPU, or the GPUs of a node, do what they do."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from contracts.events import gpu as g
from contracts.events import instance as i
from contracts.events import node as n
from contracts.types import Reason
from services.scheduler.decide.explain.recorded import told
from services.scheduler.decide.explain.view import Found
from services.scheduler.decide.explain.words import Said, are, each_is, seconds
from services.scheduler.state.fleet import FREE, HELD

if TYPE_CHECKING:
    from collections.abc import Iterator

    from contracts.http.explain import ReasonTold
    from services.scheduler.decide.explain.view import View
    from services.scheduler.state.entities import Gpu, Node


def of_gpu(view: View) -> Found:
    """Return why a GPU is used, free, or not to be used."""
    gpu = view.state.gpus.get(view.subject.id)
    if gpu is None or not gpu.present:
        fact = view.facts[-1] if view.facts else None
        text = f"GPU {view.subject.id} is on no node any more."
        gone = view.now_told(text, "gone", {})
        return Found("gone", text, [gone, *([told(fact, view.names)] if fact else [])])
    cause = gpu.cause or "node_offline"
    place = view.names.gpu(gpu.uuid)
    if cause == HELD:
        return _held(view, gpu, place)
    reasons = [*_blames(view, gpu, cause, place)]
    return Found(cause, reasons[0].sentence, reasons)


def _held(view: View, gpu: Gpu, place: str) -> Found:
    instance = view.state.instances.get(gpu.held_by or "")
    start = view.latest(i.InstanceStartRequested.type, instance_id=gpu.held_by)
    stop = view.latest(i.InstanceStopRequested.type, instance_id=gpu.held_by)
    reasons = [told(fact, view.names) for fact in (stop, start) if fact is not None]
    model = view.names.model(instance.model_id) if instance else "an instance"
    text = f"{place} is held by {model} ({gpu.held_by})"
    if not reasons:
        gone = view.now_told(f"{text}.", "held", {"held_by": gpu.held_by})
        return Found("held", gone.sentence, [gone])
    reason = Reason.model_validate((stop or start).data["reason"])  # type: ignore[union-attr]
    why = view.says(reason)
    text = f"{text}, which is being stopped because {why}." if stop else f"{text} because {why}."
    reasons[0] = reasons[0].model_copy(update={"sentence": text})
    return Found("held", text, reasons, reason.alternatives, reason.rejected)


def _blames(view: View, gpu: Gpu, cause: str, place: str) -> Iterator[ReasonTold]:
    """Yield why a GPU serves nothing: what stands against it first, then the facts behind it."""
    if cause == FREE:
        yield _unwanted(view, view.state.nodes[gpu.node_id], f"{place} is free")
    else:
        known = f" ({gpu.foreign})" if gpu.foreign else ""
        holder = view.state.instances.get(gpu.held_by or "")
        if holder is not None:
            model = view.names.model(holder.model_id)
            known = f"; {model} ({gpu.held_by}) may still be serving there"
        text = f"{place} {are(1, cause)}{known}."
        numbers = {"foreign": gpu.foreign or None, "held_by": gpu.held_by}
        yield view.now_told(text, f"gpu_{cause}", numbers)
    quarantine = view.latest(g.GpuQuarantined.type)
    if gpu.quarantined and quarantine is not None:
        yield told(quarantine, view.names)
    last = view.latest(i.InstanceStopRequested.type, i.InstanceDied.type)
    if last is not None:
        yield told(last, view.names)


def _unwanted(view: View, node: Node, what: str) -> ReasonTold:
    """Return that nobody who could use it needs more: with who comes closest."""
    state = view.state
    could = [state.models[each] for each in view.numbers if node.supports(state.models[each].name)]
    if not could:
        text = f"{what}: its node supports no model that is registered."
        return view.now_told(text, "no_model_supported", {})
    for model in could:
        waits = view.plan.shortfalls.get(model.model_id)
        if view.plan.live(model) < model.floor or waits is not None:
            action = waits.code if waits else view.plan.in_flight(model) or "not_placed"
            text = f"{what}, and {model.name} does not take it now ({action.replace('_', ' ')})."
            numbers = {**(waits.numbers if waits else {}), "model_id": model.model_id}
            return view.now_told(text, action, numbers)
    busiest = could[0]
    numbers = view.numbers[busiest.model_id]
    closest = f"the most requested, {busiest.name}, has {{wait_s}} of work queued"
    closest = f"{closest} (more than {{busy_threshold_s}} is busy)"
    closest = closest.format_map(Said(numbers, view.names))
    text = f"{what} because nobody needs it: {closest}."
    return view.now_told(text, "nobody_needs_it", {**numbers, "model_id": busiest.model_id})


def of_node(view: View) -> Found:
    """Return why a node's GPUs do what they do."""
    node = view.state.nodes[view.subject.id]
    name = view.names.node(node.node_id)
    offline = view.latest(n.NodeWentOffline.type, n.NodeDeleted.type)
    if node.deleted or not node.online:
        return _away(view, node, name)
    gpus = [view.state.gpus[uuid] for uuid in node.gpus]
    counts = Counter(gpu.cause or "node_offline" for gpu in gpus)
    says = f"{name} is online and {_what_they_are(counts)}."
    reasons = [view.now_told(says, "online", dict(counts))]
    if counts[FREE]:
        free = f"{counts[FREE]} of its GPUs {are(counts[FREE], FREE)}"
        reasons.append(_unwanted(view, node, free))
    for instance_id in reversed(node.instances):
        fact = view.latest(i.InstanceStartRequested.type, instance_id=instance_id)
        if fact is not None:
            reasons.append(told(fact, view.names))
    if offline is not None:
        reasons.append(told(offline, view.names))
    return Found("online", says, reasons)


def _what_they_are(counts: Counter[str]) -> str:
    """Return what a node's GPUs are: `its 4 GPUs are in use`."""
    total = counts.total()
    if total == 0:
        return "reports no GPU"
    if len(counts) > 1:
        return f"of its {total} GPUs {each_is(counts)}"
    return f"its {'only GPU' if total == 1 else f'{total} GPUs'} {are(total, *counts)}"


def _away(view: View, node: Node, name: str) -> Found:
    last = view.latest(n.NodeDeleted.type if node.deleted else n.NodeWentOffline.type)
    status = "deleted" if node.deleted else "offline"
    text = f"{name} was deleted." if node.deleted else f"{name} has not come online yet."
    reasons = [told(last, view.names) if last else view.now_told(text, status, {})]
    if last is not None and not node.deleted:
        since_s = (view.now - last.recorded_at).total_seconds()
        text = f"{name} has been offline for {seconds(since_s)}: it did not answer any more."
        numbers = {"offline_s": since_s, "silent_s": last.data["silent_s"]}
        reasons.insert(0, view.now_told(text, status, numbers))
    cut_off = [view.state.instances[each] for each in node.instances]
    for instance in cut_off:
        model = view.names.model(instance.model_id)
        said = f"{model} ({instance.instance_id}) is out of reach there and may still be serving."
        numbers = {"instance_id": instance.instance_id, "model_id": instance.model_id}
        reasons.append(view.now_told(said, "instance_unreachable", numbers))
    return Found(status, reasons[0].sentence, reasons)
