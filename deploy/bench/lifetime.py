"""A long life of a working fleet, written into a log through its own append function."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice

import orjson

from contracts.catalogue import TELEMETRY_TYPES
from contracts.envelope import Event
from contracts.events.environment import EnvironmentCreated
from contracts.events.gpu import GpuAllocated, GpuFreed
from contracts.events.instance import (
    InstanceStarted,
    InstanceStartRequested,
    InstanceStopped,
    InstanceStopRequested,
)
from contracts.events.model import ModelDeferred, ModelRegistered
from contracts.events.node import (
    NodeCameOnline,
    NodeInventoryChanged,
    NodeRegistered,
    NodeReported,
)
from contracts.events.queue import QueueSampled
from contracts.types import Alternative, Gpu, GpuUse, InstanceReport, Launch, QueueAddress, Reason
from services.chassis.database import Database
from services.chassis.ids import uuid7
from services.journal.adapters.postgres import PostgresLog
from services.journal.records import Command, Entry

NODES, GPUS, MODELS = 40, 8, 60
# Recorded together, at one moment: a round of samples and what comes with it. At 15 events/s that
# is every 5.6 s.
CHUNK = 84
META = orjson.dumps(
    {"actor": "scheduler", "occurred_at": "2026-01-01T00:00:00.000000Z", "proposer": "scheduler"}
).decode()

Said = tuple[str, Event]


@dataclass(frozen=True, slots=True)
class Mix:
    """How often each thing happens, of a hundred; the rest are starts and stops, 3 events each."""

    queue_samples: float
    node_reports: float
    deferrals: float

    @property
    def facts(self) -> float:
        """How many events of a hundred are not telemetry."""
        telemetry = self.queue_samples + self.node_reports
        turns = 100 - telemetry - self.deferrals
        return 100 * (self.deferrals + 3 * turns) / (100 + 2 * turns)


# ordinary: what the demo recorded of the real trace at speed 60, in half an hour of it: 4,762
# samples, 1,640 reports, 214 deferrals and 100 other facts. busy: six times as many facts.
MIXES = {"ordinary": Mix(71.5, 24.6, 3.2), "busy": Mix(55, 30, 3)}


async def live(database: Database, count: int, mix: Mix) -> None:
    """Append so many events of a fleet's life."""
    log = PostgresLog(database)
    said = fleet_life(random.Random(7), mix)  # noqa: S311 (the same life every time)
    left = count
    while left > 0:
        chunk = list(islice(said, min(CHUNK, left)))
        await log.append([Command((_entry(stream, event),)) for stream, event in chunk])
        left -= len(chunk)


def fleet_life(chance: random.Random, mix: Mix) -> Iterator[Said]:
    """Yield a fleet's events without end: its beginning, then what goes on every day."""
    yield from _beginning()
    running: dict[str, tuple[str, str, str]] = {}
    free = [(f"n{node}", gpu(node, index)) for node in range(NODES) for index in range(GPUS)]
    number = 0
    while True:
        drawn = chance.random() * 100
        if drawn < mix.queue_samples:
            yield _sampled(f"m{chance.randrange(MODELS)}", chance.randrange(500))
        elif drawn < mix.queue_samples + mix.node_reports:
            yield _reported(chance.randrange(NODES), chance)
        elif drawn < mix.queue_samples + mix.node_reports + mix.deferrals:
            yield _deferred(f"m{chance.randrange(MODELS)}")
        elif free and chance.random() < 0.5:  # noqa: PLR2004
            number += 1
            node, uuid = free.pop(chance.randrange(len(free)))
            running[f"i-{number}"] = (f"m{chance.randrange(MODELS)}", node, uuid)
            yield from _start(f"i-{number}", *running[f"i-{number}"])
        elif running:
            instance = chance.choice(list(running))
            place = running.pop(instance)
            free.append(place[1:])
            yield from _stop(instance, *place)


def gpu(node: int, index: int) -> str:
    """Return the UUID of a GPU."""
    return f"GPU-5f3c1a2b-8d4e-4c6f-{node:04d}-{index:012d}"


def _beginning() -> Iterator[Said]:
    yield "environment/prod", EnvironmentCreated(environment_id="prod", name="production")
    for number in range(MODELS):
        model = f"m{number}"
        yield (
            f"model/{model}",
            ModelRegistered(
                model_id=model,
                environment_id="prod",
                name=f"model {number}",
                queue=QueueAddress(host="rabbit.test", name=f"inference.{model}", username="q"),
                average_inference_time_s=2.0,
                launch=Launch(template="vllm", parameters={"model_path": f"/models/{model}"}),
                max_instances=8,
            ),
        )
    for number in range(NODES):
        yield from _node(number)


def _node(number: int) -> Iterator[Said]:
    node = f"n{number}"
    registered = NodeRegistered(
        node_id=node,
        environment_id="prod",
        name=node,
        agent_url=f"https://{node}.test:9400",
        available_gpu_ids=tuple(range(GPUS)),
    )
    inventory = NodeInventoryChanged(
        node_id=node,
        boot_id=f"boot-{node}",
        gpus=tuple(Gpu.model_validate(_gpu(number, index)) for index in range(GPUS)),
        supported_models=tuple(f"model {number}" for number in range(MODELS)),
    )
    yield f"node/{node}", registered
    yield f"node/{node}", NodeCameOnline(node_id=node, boot_id=f"boot-{node}")
    yield f"node/{node}", inventory


def _gpu(node: int, index: int) -> dict[str, object]:
    return {
        "uuid": gpu(node, index),
        "index": index,
        "name": "NVIDIA H100 80GB HBM3",
        "memory_mb": 81_559,
    }


def _sampled(model: str, length: int) -> Said:
    event = QueueSampled(
        model_id=model,
        length=length,
        ready=length,
        unacknowledged=0,
        consumers=2,
        published_total=100_000 + length,
    )
    return f"queue-samples/{model}", event


def _reported(node: int, chance: random.Random) -> Said:
    uses = [
        _gpu(node, index)
        | {
            "memory_used_mb": chance.randrange(81_559),
            "utilization_percent": round(chance.random() * 100, 1),
        }
        for index in range(GPUS)
    ]
    runs = tuple(
        InstanceReport(
            instance_id=f"i-{node}-{index}",
            model_name="model 1",
            gpu_uuid=gpu(node, index),
            pid=4000 + index,
            state="ready",
            endpoint=f"http://n{node}.test:800{index}",
        )
        for index in range(GPUS // 2)
    )
    event = NodeReported(
        node_id=f"n{node}",
        boot_id=f"boot-n{node}",
        gpus=tuple(GpuUse.model_validate(use) for use in uses),
        instances=runs,
        answer_ms=12.5,
    )
    return f"node-reports/n{node}", event


def _reason() -> Reason:
    lost = tuple(
        Alternative(subject=f"n{number}", code="gpu_taken", numbers={"free": 0, "wait_s": 12.0})
        for number in range(3)
    )
    return Reason(
        code="busy_queue",
        numbers={"wait_s": 57.5, "threshold_s": 30.0, "messages": 23},
        position=4711,
        now=datetime(2026, 1, 1, tzinfo=UTC),
        strategy="busy first",
        alternatives=lost,
        rejected={"unsupported": 3, "offline": 1},
    )


def _deferred(model: str) -> Said:
    return f"model-floor/{model}", ModelDeferred(model_id=model, reason=_reason())


def _place(instance: str, model: str, node: str, uuid: str) -> dict[str, object]:
    return {"instance_id": instance, "model_id": model, "node_id": node, "gpu_uuid": uuid}


def _start(instance: str, model: str, node: str, uuid: str) -> Iterator[Said]:
    place = _place(instance, model, node, uuid)
    wanted = {
        "model_name": model,
        "gpu_index": 0,
        "boot_id": f"boot-{node}",
        "launch": Launch(template="vllm", parameters={"model_path": f"/models/{model}"}),
        "epoch": 3,
        "reason": _reason(),
    }
    came = {"pid": 4711, "endpoint": f"http://{node}.test:8001", "load_s": 41.0}
    yield f"gpu/{uuid}", GpuAllocated.model_validate(place)
    yield f"instance/{instance}", InstanceStartRequested.model_validate(place | wanted)
    yield f"instance/{instance}", InstanceStarted.model_validate(place | came)


def _stop(instance: str, model: str, node: str, uuid: str) -> Iterator[Said]:
    place = _place(instance, model, node, uuid)
    because = {"reason": _reason()}
    yield f"instance/{instance}", InstanceStopRequested.model_validate(place | because)
    yield f"instance/{instance}", InstanceStopped.model_validate(place | {"exit_code": 0})
    yield f"gpu/{uuid}", GpuFreed.model_validate(place | {"because": "stopped"})


def _entry(stream: str, event: Event) -> Entry:
    return Entry(
        event_id=uuid7(),
        stream=stream,
        type=event.type,
        schema_version=event.schema_version,
        data=event.model_dump_json(),
        meta=META,
        telemetry=event.type in TELEMETRY_TYPES,
    )
