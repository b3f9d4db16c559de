"""Builders with sane defaults: events as services say them, and as the journal records them."""

from __future__ import annotations

from collections import defaultdict
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from contracts.envelope import Draft, Event, Meta, Recorded
from contracts.events import gpu as g
from contracts.events import instance as i
from contracts.events import model as m
from contracts.events import node as n
from contracts.events import queue as q
from contracts.events import strategy as s
from contracts.types import GpuUse, InstanceReport, Launch, QueueAddress, Reason

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

NOON = datetime(2030, 1, 1, 12, tzinfo=UTC)
BOOT = "boot-1"

# The subject of each event type's stream: its kind, and the field that names it.
_STREAMS: dict[str, tuple[str, str]] = {
    "environment": ("environment", "environment_id"),
    "model": ("model", "model_id"),
    "node": ("node", "node_id"),
    "gpu": ("gpu", "gpu_uuid"),
    "instance": ("instance", "instance_id"),
    "strategy": ("strategy", "strategy_id"),
    "queue": ("queue", "model_id"),
    "alert": ("alert", "alert_id"),
    "webhook": ("webhook", "webhook_id"),
    "secret": ("secret", "secret_id"),
    "process": ("process", "node_id"),
    "lease": ("lease", "name"),
    "queue.sampled": ("queue-samples", "model_id"),
    "node.reported": ("node-reports", "node_id"),
    "node.heartbeat": ("node-reports", "node_id"),
    "model.floor_unmet": ("model-floor", "model_id"),
    "model.floor_met": ("model-floor", "model_id"),
    "model.deferred": ("model-floor", "model_id"),
    "instance.start_asked": ("ask", "ask_id"),
    "instance.start_refused": ("ask", "ask_id"),
}


def stream_of(event: Event) -> str:
    """Return the stream an event belongs to."""
    if event.type.startswith("fleet."):
        return "fleet/silence"
    subject = event.type.split(".")[0]
    kind, field = _STREAMS.get(event.type) or _STREAMS[subject]
    return f"{kind}/{getattr(event, field)}"


class Log:
    """A log in memory: positions, versions and times as the journal would give them."""

    def __init__(self, now: datetime = NOON) -> None:
        self.now = now
        self.events: list[Recorded] = []
        self.versions: dict[str, int] = defaultdict(int)

    def wait(self, seconds: float) -> None:
        """Let time pass."""
        self.now += timedelta(seconds=seconds)

    def record(self, event: Event | Draft) -> Recorded:
        """Append one event now."""
        draft = event if isinstance(event, Draft) else Draft(stream_of(event), event)
        self.versions[draft.stream] += 1
        position = len(self.events) + 1
        recorded = Recorded(
            position=position,
            event_id=f"00000000-0000-7000-8000-{position:012d}",
            stream=draft.stream,
            version=self.versions[draft.stream],
            type=draft.event.type,
            schema_version=draft.event.schema_version,
            data=draft.event.model_dump(mode="json"),
            recorded_at=self.now,
            meta=Meta(
                "test", self.now.isoformat(), "test", draft.causation_id, draft.correlation_id
            ),
        )
        self.events.append(recorded)
        return recorded

    def find(self, event_id: str | None) -> Recorded | None:
        """Return the event of an id, or None."""
        position = int(event_id[-12:]) if event_id else 0
        return self.events[position - 1] if position else None

    def accepts(self, drafts: Sequence[Draft]) -> bool:
        """Return whether an atomic proposal's expected versions fit."""
        ahead: dict[str, int] = {}
        for draft in drafts:
            version = ahead.get(draft.stream, self.versions[draft.stream])
            if draft.expected_version not in (None, version):
                return False
            ahead[draft.stream] = version + 1
        return True

    def append(self, drafts: Sequence[Draft]) -> list[Recorded]:
        """Record an atomic proposal, or nothing of it."""
        return [self.record(draft) for draft in drafts] if self.accepts(drafts) else []


def a_queue(name: str = "llama", **fields: Any) -> QueueAddress:
    return QueueAddress(**{"host": "broker", "name": name, "username": "worker", **fields})


def a_model(model_id: str = "llama", **fields: Any) -> m.ModelRegistered:
    """A model that takes 2 s an inference, with a floor and a maximum of one."""
    defaults: dict[str, Any] = {
        "model_id": model_id,
        "environment_id": "prod",
        "name": model_id,
        "queue": a_queue(model_id),
        "average_inference_time_s": 2.0,
        "launch": Launch(template="worker"),
    }
    return m.ModelRegistered(**{**defaults, **fields})


def model_updated(model_id: str = "llama", **fields: Any) -> m.ModelUpdated:
    return m.ModelUpdated(**a_model(model_id, **fields).model_dump())


def gpu_uuid(node_id: str, index: int) -> str:
    return f"GPU-{node_id}-{index}"


def a_node(
    node_id: str = "n1",
    *,
    gpus: int = 1,
    supported: Iterable[str] = ("*",),
    available: Sequence[int] | None = None,
    online: bool = True,
    report: bool = True,
) -> list[Event]:
    """A registered node that answers, with its inventory and a clean report."""
    offered = tuple(range(gpus)) if available is None else tuple(available)
    events: list[Event] = [a_registered_node(node_id, available_gpu_ids=offered)]
    if online:
        events.append(n.NodeCameOnline(node_id=node_id, boot_id=BOOT))
        events.append(an_inventory(node_id, gpus=gpus, supported=supported))
        if report:
            events.append(a_report(node_id, gpus=gpus))
    return events


def a_registered_node(node_id: str = "n1", **fields: Any) -> n.NodeRegistered:
    defaults: dict[str, Any] = {
        "node_id": node_id,
        "environment_id": "prod",
        "name": node_id,
        "agent_url": f"http://{node_id}:9000",
        "available_gpu_ids": (0,),
    }
    return n.NodeRegistered(**{**defaults, **fields})


def an_inventory(
    node_id: str = "n1", *, gpus: int = 1, supported: Iterable[str] = ("*",), boot_id: str = BOOT
) -> n.NodeInventoryChanged:
    return n.NodeInventoryChanged(
        node_id=node_id,
        boot_id=boot_id,
        gpus=tuple(a_gpu(node_id, index) for index in range(gpus)),
        supported_models=tuple(supported),
    )


def a_gpu(node_id: str, index: int, **fields: Any) -> GpuUse:
    return GpuUse(**{"uuid": gpu_uuid(node_id, index), "index": index, **fields})


def a_report(
    node_id: str = "n1",
    *,
    gpus: int = 1,
    boot_id: str = BOOT,
    foreign: dict[int, int] | None = None,
    running: dict[int, str] | None = None,
    state: str = "ready",
) -> n.NodeReported:
    """A report; foreign: a pid by GPU index; running: an instance id by GPU index."""
    foreign, running = foreign or {}, running or {}
    return n.NodeReported(
        node_id=node_id,
        boot_id=boot_id,
        gpus=tuple(
            a_gpu(node_id, k, foreign_pids=(foreign[k],) if k in foreign else ())
            for k in range(gpus)
        ),
        instances=tuple(
            InstanceReport.model_validate(
                {
                    "instance_id": instance_id,
                    "model_name": "any",
                    "gpu_uuid": gpu_uuid(node_id, k),
                    "pid": 100 + k,
                    "state": state,
                }
            )
            for k, instance_id in running.items()
        ),
    )


def offline(node_id: str = "n1") -> n.NodeWentOffline:
    return n.NodeWentOffline(node_id=node_id, silent_s=12.0, error="timed out")


def online(node_id: str = "n1", boot_id: str = BOOT) -> n.NodeCameOnline:
    return n.NodeCameOnline(node_id=node_id, boot_id=boot_id)


def silence_suspected() -> n.FleetSilenceSuspected:
    return n.FleetSilenceSuspected(silent=3, nodes=4, window_s=30.0)


def silence_cleared() -> n.FleetSilenceCleared:
    return n.FleetSilenceCleared(silent=0, nodes=4)


def sampled(model_id: str = "llama", length: int = 0, **fields: Any) -> q.QueueSampled:
    defaults = {"model_id": model_id, "length": length, "ready": length, "unacknowledged": 0}
    return q.QueueSampled(**{**defaults, **fields})


def a_reason(code: str = "below_floor", **fields: Any) -> Reason:
    return Reason(code=code, **fields)


def an_instance(
    instance_id: str = "i-1",
    model_id: str = "llama",
    *,
    node_id: str = "n1",
    gpu: int = 0,
    ready: bool = True,
    pinned: bool = False,
) -> list[Event]:
    """An instance that was placed, and is ready unless it should still be starting."""
    uuid = gpu_uuid(node_id, gpu)
    events: list[Event] = [
        g.GpuAllocated(gpu_uuid=uuid, node_id=node_id, instance_id=instance_id, model_id=model_id),
        i.InstanceStartRequested(
            instance_id=instance_id,
            model_id=model_id,
            model_name=model_id,
            node_id=node_id,
            gpu_uuid=uuid,
            gpu_index=gpu,
            boot_id=BOOT,
            launch=Launch(template="worker"),
            pinned=pinned,
            reason=a_reason(),
        ),
    ]
    if ready:
        events.append(started(instance_id, model_id, node_id=node_id, gpu=gpu))
    return events


def _where(instance_id: str, model_id: str, node_id: str, gpu: int) -> dict[str, Any]:
    return {
        "instance_id": instance_id,
        "model_id": model_id,
        "node_id": node_id,
        "gpu_uuid": gpu_uuid(node_id, gpu),
    }


def started(
    instance_id: str = "i-1", model_id: str = "llama", *, node_id: str = "n1", gpu: int = 0
) -> i.InstanceStarted:
    return i.InstanceStarted(**_where(instance_id, model_id, node_id, gpu), pid=4711)


def start_failed(
    instance_id: str = "i-1", model_id: str = "llama", *, node_id: str = "n1", gpu: int = 0
) -> i.InstanceStartFailed:
    where = _where(instance_id, model_id, node_id, gpu)
    return i.InstanceStartFailed(**where, code="exited", error="exit code 1")


def stop_requested(
    instance_id: str = "i-1",
    model_id: str = "llama",
    *,
    node_id: str = "n1",
    gpu: int = 0,
    replaced_by: str | None = None,
) -> i.InstanceStopRequested:
    where = _where(instance_id, model_id, node_id, gpu)
    return i.InstanceStopRequested(**where, replaced_by=replaced_by, reason=a_reason("replaced"))


def stopped(
    instance_id: str = "i-1", model_id: str = "llama", *, node_id: str = "n1", gpu: int = 0
) -> i.InstanceStopped:
    return i.InstanceStopped(**_where(instance_id, model_id, node_id, gpu), exit_code=0)


def died(
    instance_id: str = "i-1",
    model_id: str = "llama",
    *,
    node_id: str = "n1",
    gpu: int = 0,
    because: str = "exited",
) -> i.InstanceDied:
    where = _where(instance_id, model_id, node_id, gpu)
    return i.InstanceDied.model_validate({**where, "because": because})


def freed(instance_id: str = "i-1", *, node_id: str = "n1", gpu: int = 0) -> g.GpuFreed:
    return g.GpuFreed(
        gpu_uuid=gpu_uuid(node_id, gpu), node_id=node_id, instance_id=instance_id, because="stopped"
    )


def a_strategy(strategy_id: str = "s1", **fields: Any) -> s.StrategyCreated:
    defaults: dict[str, Any] = {
        "strategy_id": strategy_id,
        "name": strategy_id,
        "policy": "busy_queue_scaling",
        "active": True,
    }
    return s.StrategyCreated(**{**defaults, **fields})


def start_asked(ask_id: str = "a1", model_id: str = "llama", **fields: Any) -> i.InstanceStartAsked:
    defaults: dict[str, Any] = {"ask_id": ask_id, "model_id": model_id, "node_id": "n1"}
    return i.InstanceStartAsked(**{**defaults, **fields})


def stop_asked(instance_id: str = "i-1", node_id: str = "n1") -> i.InstanceStopAsked:
    return i.InstanceStopAsked(instance_id=instance_id, node_id=node_id)
