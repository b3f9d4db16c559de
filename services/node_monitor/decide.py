"""What an answer of a node, or its silence, makes us say; all of it pure.

Deaths: an instance has died when its agent, in the boot it was started in, says so; when the agent
has twice left a started instance out of its list (and its process is on no GPU of the node); or
when the node runs another boot. Silence is never a death. An instance that is starting or was asked
to stop is the deployer's to report, except that only we see a reboot.

A death comes of the last thing that was done to the instance, a first answer of the node's being
registered; what a node does by itself later, or silence, comes of nothing in the log.

Silence: a node goes offline when it missed three probes in a row and gave no sign for
`silent_after_s`, and when at least half of the fleet has answered since it fell silent. When more
than half of the nodes (and at least two) do not answer, we suspect our own network: that is
recorded once, and no node goes offline until half of them answer again. If they never do, people
have been told (an alert), and nothing has been evicted on a guess; a node that is really gone is
deleted by them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from contracts.envelope import MAX_DATA_BYTES, Draft
from contracts.events.instance import InstanceDied
from contracts.events.node import (
    FleetSilenceCleared,
    FleetSilenceSuspected,
    NodeCameOnline,
    NodeInventoryChanged,
    NodeReported,
    NodeWentOffline,
)
from contracts.types import Gpu

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from contracts.envelope import Cause
    from contracts.http.agent import NodeStatus
    from contracts.types import GpuUse
    from services.node_monitor.state import Instance, Node, State, Watch

DEAD = frozenset({"exited", "failed"})
ABSENT_TWICE = 2
FLEET = "fleet/silence"
_ENVELOPE_BYTES = 4096


@dataclass(frozen=True, slots=True)
class Patience:
    """How long silence may last, how many probes may be missed, what counts as one window (s)."""

    silent_after_s: float = 10.0
    misses: int = 3
    window_s: float = 30.0


def nonsense(status: NodeStatus) -> str | None:
    """Return why an answer cannot be true or cannot be recorded, or None."""
    gpus = [gpu.uuid for gpu in status.gpus]
    if len(gpus) != len(set(gpus)):
        return "the agent lists a GPU twice"
    instances = [report.instance_id for report in status.instances]
    if len(instances) != len(set(instances)):
        return "the agent lists an instance twice"
    if len(status.model_dump_json()) > MAX_DATA_BYTES - _ENVELOPE_BYTES:
        return "the agent's answer is longer than an event may be"
    return None


def answered(
    node: Node, watch: Watch, status: NodeStatus, asked_at: int, tails: Mapping[str, str]
) -> list[tuple[Draft, ...]]:
    """Return what this answer changes, as one proposal, or nothing.

    asked_at: everything of the log up to this position was folded when the question was asked.
    tails: the last log lines of instances that ended.
    """
    drafts = (
        *_inventory(node, status),
        *_return(node, status),
        *_deaths(node, watch, status, asked_at, tails),
    )
    return [drafts] if drafts else []


def ended(node: Node, status: NodeStatus, asked_at: int) -> list[str]:
    """Return the started instances that this answer says have ended by themselves."""
    return [
        instance.instance_id
        for instance in node.instances.values()
        if _exit(instance, status, asked_at) is not None
    ]


def report(
    node_id: str, watch: Watch, status: NodeStatus, now_s: float, refresh_s: float
) -> NodeReported | None:
    """Return the telemetry that is due: something changed, or the last is `refresh_s` old."""
    due = watch.reported_s is None or now_s - watch.reported_s >= refresh_s
    if not due and gist(status) == watch.reported:
        return None
    return NodeReported(
        node_id=node_id,
        boot_id=status.boot_id,
        gpus=tuple(sorted(status.gpus, key=_place)),
        instances=tuple(sorted(status.instances, key=lambda each: each.instance_id)),
        answer_ms=watch.answer_ms,
    )


def gist(status: NodeStatus) -> tuple[object, ...]:
    """Return what a report is about, without the numbers that always move."""
    gpus = tuple(sorted((gpu.uuid, tuple(sorted(gpu.foreign_pids))) for gpu in status.gpus))
    instances = tuple(sorted((each.instance_id, each.state) for each in status.instances))
    return (status.boot_id, gpus, instances)


def silence(
    state: State, watches: Mapping[str, Watch], now_s: float, patience: Patience
) -> list[tuple[Draft, ...]]:
    """Return what the silence of nodes means now: suspicion of ourselves, or who is offline."""
    fleet = _fleet(state, watches, now_s, patience)
    quiet = [watch for watch in fleet if watch.missed]
    if state.suspected:
        answering = [w for w in fleet if w.answered_s is not None and not w.missed]
        if len(fleet) > 1 and 2 * len(answering) < len(fleet):
            return []
        cleared = FleetSilenceCleared(silent=len(quiet), nodes=len(fleet))
        return [(Draft(FLEET, cleared),)]
    silent = _silent(state, watches, now_s, patience)
    if not silent:
        return []
    if len(quiet) > 1 and 2 * len(quiet) > len(fleet):
        suspected = FleetSilenceSuspected(
            silent=len(quiet), nodes=len(fleet), window_s=patience.window_s
        )
        return [(Draft(FLEET, suspected),)]
    return [
        (_offline(node_id, watches[node_id], now_s),)
        for node_id in silent
        if _witnessed(watches[node_id], fleet)
    ]


def _fleet(
    state: State, watches: Mapping[str, Watch], now_s: float, patience: Patience
) -> Sequence[Watch]:
    """Return the nodes that count: those online, and those that fell silent within the window."""
    recent = now_s - patience.window_s - patience.silent_after_s
    fleet = []
    for node_id in sorted(watches):
        node, watch = state.nodes.get(node_id), watches[node_id]
        fell = watch.answered_s is not None and watch.answered_s >= recent
        if node and (node.online or (node.online is False and fell)):
            fleet.append(watch)
    return fleet


def _silent(
    state: State, watches: Mapping[str, Watch], now_s: float, patience: Patience
) -> list[str]:
    """Return the nodes not yet offline whose patience is used up, by id."""
    return [
        node_id
        for node_id, watch in sorted(watches.items())
        if (node := state.nodes.get(node_id))
        and node.online is not False
        and watch.missed >= patience.misses
        and now_s - watch.heard_s >= patience.silent_after_s
    ]


def _witnessed(watch: Watch, fleet: Sequence[Watch]) -> bool:
    """Return whether half of the fleet has answered since this node fell silent: we hear well."""
    since_s = watch.heard_s if watch.first_missed_s is None else watch.first_missed_s
    others = [each for each in fleet if each is not watch]
    heard = [w for w in others if w.answered_s is not None and w.answered_s >= since_s]
    return not others or 2 * len(heard) >= len(fleet)


def _offline(node_id: str, watch: Watch, now_s: float) -> Draft:
    event = NodeWentOffline(
        node_id=node_id,
        silent_s=round(now_s - watch.heard_s, 3),
        error=watch.error[:1000],
        last_seen_at=watch.answered_at,
    )
    return Draft(f"node/{node_id}", event)


def _inventory(node: Node, status: NodeStatus) -> tuple[Draft, ...]:
    gpus = tuple(_plain(gpu) for gpu in sorted(status.gpus, key=_place))
    models = tuple(sorted(set(status.supported_models)))
    found = (status.boot_id, gpus, models, status.version)
    if found == (node.boot_id, node.gpus, node.supported_models, node.agent_version):
        return ()
    event = NodeInventoryChanged(
        node_id=node.node_id,
        boot_id=status.boot_id,
        gpus=gpus,
        supported_models=models,
        agent_version=status.version,
    )
    return (Draft(f"node/{node.node_id}", event).because(_introduction(node)),)


def _introduction(node: Node) -> Cause | None:
    return node.introduced_by if node.online is None else None


def _return(node: Node, status: NodeStatus) -> tuple[Draft, ...]:
    if node.online:
        return ()
    event = NodeCameOnline(node_id=node.node_id, boot_id=status.boot_id)
    return (Draft(f"node/{node.node_id}", event).because(_introduction(node)),)


def _deaths(
    node: Node, watch: Watch, status: NodeStatus, asked_at: int, tails: Mapping[str, str]
) -> tuple[Draft, ...]:
    drafts = []
    for instance in node.instances.values():
        died = _death(instance, watch, status, asked_at)
        if died is not None:
            tail = tails.get(instance.instance_id, "")
            event = died.model_copy(update={"log_tail": tail})
            draft = Draft(f"instance/{instance.instance_id}", event).because(instance.cause)
            drafts.append(draft)
    return tuple(drafts)


def _death(
    instance: Instance, watch: Watch, status: NodeStatus, asked_at: int
) -> InstanceDied | None:
    if instance.position > asked_at:
        return None  # the answer may be older than what we know of the instance
    died = InstanceDied(
        instance_id=instance.instance_id,
        model_id=instance.model_id,
        node_id=instance.node_id,
        gpu_uuid=instance.gpu_uuid,
        because="rebooted",
    )
    if instance.boot_id != status.boot_id:
        return died
    exit_ = _exit(instance, status, asked_at)
    if exit_ is not None:
        return died.model_copy(update={"because": "exited", "exit_code": exit_.code})
    if instance.phase == "started" and watch.absent.get(instance.instance_id, 0) >= ABSENT_TWICE:
        return died.model_copy(update={"because": "lost"})
    return None


@dataclass(frozen=True, slots=True)
class _Exit:
    code: int | None


def _exit(instance: Instance, status: NodeStatus, asked_at: int) -> _Exit | None:
    """Return how a started instance ended by itself, as its own boot's agent says."""
    due = instance.phase == "started" and instance.position <= asked_at
    if not due or instance.boot_id != status.boot_id:
        return None
    for each in status.instances:
        if each.instance_id == instance.instance_id and each.state in DEAD:
            return _Exit(each.exit_code)
    return None


def _place(gpu: Gpu | GpuUse) -> tuple[int, str]:
    return gpu.index, gpu.uuid


def _plain(gpu: GpuUse) -> Gpu:
    return Gpu(uuid=gpu.uuid, index=gpu.index, name=gpu.name, memory_mb=gpu.memory_mb)
