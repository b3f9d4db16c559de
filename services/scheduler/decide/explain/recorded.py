"""What the log holds about a subject: each fact as a sentence, and the reasons in it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from contracts.catalogue import read
from contracts.events import gpu as g
from contracts.events import instance as i
from contracts.events import model as m
from contracts.events import node as n
from contracts.events import queue as q
from contracts.http.explain import AlternativeTold, HistoryEntry, ReasonTold
from services.scheduler.decide.explain.clauses import because, clause
from services.scheduler.decide.explain.words import plural, said, seconds, supports

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from contracts.envelope import Event, Recorded
    from contracts.types import Alternative, Reason
    from services.scheduler.decide.explain.words import Names

LONGEST_ERROR = 200


def history_of(facts: Iterable[Recorded], names: Names) -> tuple[HistoryEntry, ...]:
    """Return each fact as a sentence, the newest first."""
    newest_first = sorted(facts, key=lambda fact: -fact.position)
    return tuple(_entry(fact, names) for fact in newest_first)


def _entry(fact: Recorded, names: Names) -> HistoryEntry:
    event = read(fact)
    reason: Reason | None = getattr(event, "reason", None)
    return HistoryEntry(
        position=fact.position,
        at=fact.recorded_at,
        type=fact.type,
        stream=fact.stream,
        code=reason.code if reason else code_of(event),
        sentence=sentence_of(event, names),
        actor=fact.meta.actor,
    )


def told(fact: Recorded, names: Names) -> ReasonTold:
    """Return a fact as a reason: the one it carries, or what it is itself."""
    event = read(fact)
    reason: Reason | None = getattr(event, "reason", None)
    return ReasonTold(
        code=reason.code if reason else code_of(event) or fact.type.partition(".")[2],
        sentence=sentence_of(event, names),
        numbers=reason.numbers if reason else {},
        position=fact.position,
        at=fact.recorded_at,
        strategy=reason.strategy if reason else None,
    )


def lost(alternative: Alternative, names: Names) -> AlternativeTold:
    """Return a candidate that lost, as people are told of it."""
    why = clause(alternative.code, alternative.numbers, names)
    owner = alternative.numbers.get("model_id")
    subject = names.of(alternative.subject)
    if owner is not None and " of " not in subject:
        subject = f"{subject} of {names.model(str(owner))}"
    return AlternativeTold(
        subject=alternative.subject,
        code=alternative.code,
        sentence=f"{subject}: {why}",
        numbers=alternative.numbers,
    )


def code_of(event: Event) -> str | None:
    """Return the code of an end that nobody decided."""
    if isinstance(event, i.InstanceDied):
        return f"died_{event.because}"
    return "start_failed" if isinstance(event, i.InstanceStartFailed) else None


def sentence_of(event: Event, names: Names) -> str:
    """Return what a fact says, in one sentence."""
    say = SENTENCES.get(type(event))
    return say(event, names) if say else f"{event.type.replace('.', ' ').replace('_', ' ')}."


def _start_requested(event: i.InstanceStartRequested, names: Names) -> str:
    place = names.gpu(event.gpu_uuid, event.gpu_index)
    return f"{event.model_name} was started on {place} because {because(event.reason, names)}."


def _started(event: i.InstanceStarted, names: Names) -> str:
    after = f" after {seconds(event.load_s)}" if event.load_s else ""
    return f"{names.model(event.model_id)} was ready on {names.gpu(event.gpu_uuid)}{after}."


def _start_failed(event: i.InstanceStartFailed, names: Names) -> str:
    error = " ".join(f"{event.code}: {event.error}".split())[:LONGEST_ERROR]
    where = names.gpu(event.gpu_uuid)
    return f"The start of {names.model(event.model_id)} on {where} failed: {error}."


def _stop_requested(event: i.InstanceStopRequested, names: Names) -> str:
    model = names.model(event.model_id)
    place = names.gpu(event.gpu_uuid)
    return f"{model} was stopped on {place} because {because(event.reason, names)}."


def _stopped(event: i.InstanceStopped, names: Names) -> str:
    return f"{names.model(event.model_id)} has stopped on {names.gpu(event.gpu_uuid)}, as wanted."


def _died(event: i.InstanceDied, names: Names) -> str:
    why = clause(f"died_{event.because}", {}, names)
    if event.exit_code is not None:
        was_killed = event.exit_code < 0 and event.because == "exited"
        code = f"{why} (exit code {event.exit_code})"
        why = f"its process was killed (signal {-event.exit_code})" if was_killed else code
    return f"{names.model(event.model_id)} ended on {names.gpu(event.gpu_uuid)} because {why}."


def _deferred(event: m.ModelDeferred, names: Names) -> str:
    model = names.model(event.model_id)
    if event.reason.code == "no_longer_wanted":
        return f"{model} no longer wants a further instance."
    return f"{model} gets no further instance because {because(event.reason, names)}."


def _floor_unmet(event: m.ModelFloorUnmet, names: Names) -> str:
    has = f"{event.instances} of {event.floor} required instances"
    if event.instances == 0:
        has = f"no instance ({event.floor} required)"
    return f"{names.model(event.model_id)} has {has} because {because(event.reason, names)}."


def _floor_met(event: m.ModelFloorMet, names: Names) -> str:
    has = "required instance" if event.floor == 1 else f"{event.floor} required instances"
    return f"{names.model(event.model_id)} has its {has}."


def _offline(event: n.NodeWentOffline, names: Names) -> str:
    silent = seconds(event.silent_s)
    return f"{names.node(event.node_id)} went offline: it had not answered for {silent}."


SENTENCES: dict[type[Event], Callable[[Any, Names], str]] = {
    i.InstanceStartRequested: _start_requested,
    i.InstanceStarted: _started,
    i.InstanceStartFailed: _start_failed,
    i.InstanceStopAsked: lambda _, __: "Somebody asked for it to be stopped.",
    i.InstanceStopRequested: _stop_requested,
    i.InstanceStopped: _stopped,
    i.InstanceDied: _died,
    i.InstanceStartRefused: lambda event, names: (
        f"A start of {names.model(event.model_id)} by hand was refused because"
        f" {because(event.reason, names)}."
    ),
    m.ModelRegistered: lambda event, _: f"{event.name} was registered.",
    m.ModelUpdated: lambda event, _: (
        f"{event.name} was changed: {event.min_instances} to {event.max_instances} instances."
    ),
    m.ModelDeleted: lambda event, names: f"{names.model(event.model_id)} was deleted.",
    m.ModelFloorUnmet: _floor_unmet,
    m.ModelFloorMet: _floor_met,
    m.ModelDeferred: _deferred,
    q.QueueUnreachable: lambda event, names: (
        f"The queue of {names.model(event.model_id)} cannot be read ({said(event.code)})."
    ),
    q.QueueRecovered: lambda event, names: (
        f"The queue of {names.model(event.model_id)} can be read again."
    ),
    n.NodeRegistered: lambda event, _: f"{event.name} was registered.",
    n.NodeUpdated: lambda event, _: f"{event.name} was changed.",
    n.NodeDeleted: lambda event, names: f"{names.node(event.node_id)} was deleted.",
    n.NodeCameOnline: lambda event, names: f"{names.node(event.node_id)} came online.",
    n.NodeWentOffline: _offline,
    n.NodeInventoryChanged: lambda event, names: (
        f"{names.node(event.node_id)} said it has {plural(len(event.gpus), 'GPU')}"
        f" and supports {supports(event.supported_models)}."
    ),
    g.GpuQuarantined: lambda event, names: (
        f"{names.gpu(event.gpu_uuid)} was put in quarantine because {event.because}."
    ),
    g.GpuReleased: lambda event, names: (
        f"The quarantine of {names.gpu(event.gpu_uuid)} ended because {event.because}."
    ),
}
