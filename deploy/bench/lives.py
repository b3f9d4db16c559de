"""A fleet's life as commands for the log: nodes, models, instances that come and go, telemetry."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

from contracts.catalogue import TELEMETRY_TYPES
from contracts.envelope import Event
from contracts.events import gpu as g
from contracts.events import instance as i
from contracts.events import model as m
from contracts.events import node as n
from contracts.events import queue as q
from contracts.types import Gpu, GpuUse, Launch, QueueAddress, Reason
from services.chassis.ids import uuid7
from services.journal.records import Command, Entry

NODES, GPUS, MODELS = 250, 8, 400
META = '{"actor":"bench","occurred_at":"2026-01-01T00:00:00Z","proposer":"bench"}'
BOOT = "boot-1"

Said = tuple[str, Event]


def lives(events: int) -> Iterator[list[Command]]:
    """Yield so many events, some to a command: the fleet first, then its life."""
    said = islice(_all(), events)
    while some := list(islice(said, 2000)):
        yield [Command((_entry(stream, event),)) for stream, event in some]


def registered(model_id: str, *, floor: int = 0) -> Said:
    """Return a model as somebody registers it."""
    return f"model/{model_id}", m.ModelRegistered(
        model_id=model_id,
        environment_id="bench",
        name=model_id,
        queue=QueueAddress(host="broker", name=model_id, username="worker"),
        average_inference_time_s=2.0,
        launch=Launch(template="worker"),
        min_instances=floor,
        max_instances=4,
    )


def command(said: Said) -> Command:
    """Return one event as a command."""
    return Command((_entry(*said),))


def _entry(stream: str, event: Event) -> Entry:
    telemetry = event.type in TELEMETRY_TYPES
    return Entry(uuid7(), stream, event.type, 1, event.model_dump_json(), META, telemetry)


def _all() -> Iterator[Said]:
    for number in range(NODES):
        yield from _node(f"node-{number}")
    for number in range(MODELS):
        yield registered(f"m{number}")
    turn = 0
    while True:
        yield from _minute(turn)
        turn += 1


def _node(node_id: str) -> Iterator[Said]:
    yield (
        f"node/{node_id}",
        n.NodeRegistered(
            node_id=node_id,
            environment_id="bench",
            name=node_id,
            agent_url=f"http://{node_id}:9000",
            available_gpu_ids=tuple(range(GPUS)),
        ),
    )
    yield f"node/{node_id}", n.NodeCameOnline(node_id=node_id, boot_id=BOOT)
    yield (
        f"node/{node_id}",
        n.NodeInventoryChanged(
            node_id=node_id,
            boot_id=BOOT,
            gpus=tuple(Gpu(uuid=f"GPU-{node_id}-{k}", index=k) for k in range(GPUS)),
            supported_models=("*",),
        ),
    )


def _minute(turn: int) -> Iterator[Said]:
    """Yield a sample of every queue, a report of some nodes, and some lives of instances."""
    for number in range(MODELS):
        length = (turn * 7 + number) % 5
        yield (
            f"queue-samples/m{number}",
            q.QueueSampled(model_id=f"m{number}", length=length, ready=length, unacknowledged=0),
        )
    for number in range(turn % 5, NODES, 5):
        node_id = f"node-{number}"
        uses = tuple(GpuUse(uuid=f"GPU-{node_id}-{k}", index=k) for k in range(GPUS))
        yield (
            f"node-reports/{node_id}",
            n.NodeReported(node_id=node_id, boot_id=BOOT, gpus=uses),
        )
    for number in range(60):
        yield from _life(turn, number)


def _life(turn: int, number: int) -> Iterator[Said]:
    """Yield an instance's start; the one that was there an hour before ends first."""
    place = (turn * 60 + number) % (NODES * GPUS)
    node_id, gpu = f"node-{place // GPUS}", f"GPU-node-{place // GPUS}-{place % GPUS}"
    model_id = f"m{(turn * 60 + number) % MODELS}"
    before = turn * 60 + number - NODES * GPUS
    if before >= 0:
        where = _where(f"i-{before}", f"m{before % MODELS}", node_id, gpu)
        yield f"instance/i-{before}", i.InstanceStopRequested(**where, reason=_why())
        yield f"instance/i-{before}", i.InstanceStopped(**where, exit_code=0)
        yield (
            f"gpu/{gpu}",
            g.GpuFreed(gpu_uuid=gpu, node_id=node_id, instance_id=f"i-{before}", because="stopped"),
        )
    instance_id = f"i-{turn * 60 + number}"
    where = _where(instance_id, model_id, node_id, gpu)
    yield f"gpu/{gpu}", g.GpuAllocated(**where)
    yield (
        f"instance/{instance_id}",
        i.InstanceStartRequested(
            **where,
            model_name=model_id,
            gpu_index=place % GPUS,
            boot_id=BOOT,
            launch=Launch(template="worker"),
            reason=_why(),
        ),
    )
    yield f"instance/{instance_id}", i.InstanceStarted(**where, pid=4711)


def _where(instance_id: str, model_id: str, node_id: str, gpu: str) -> dict[str, str]:
    return {
        "instance_id": instance_id,
        "model_id": model_id,
        "node_id": node_id,
        "gpu_uuid": gpu,
    }


def _why() -> Reason:
    return Reason(code="below_floor", numbers={"instances": 0, "floor": 1})
