"""A long log in which everything came of something: instances start, die, and are replaced."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import count, islice
from typing import Any
from uuid import UUID

import orjson

from contracts.catalogue import TELEMETRY_TYPES
from contracts.envelope import Event
from contracts.events import gpu as g
from contracts.events import instance as i
from contracts.events import model as m
from contracts.events import node as n
from contracts.events import queue as q
from contracts.types import Gpu, Launch, QueueAddress, Reason
from services.chassis.database import Database

NODES, GPUS, MODELS = 50, 8, 100
HOT = "m0"  # has a third of all instances
STEP_S = 0.2
AT_ONCE = 20_000
_COLUMNS = ("bigint", "uuid", "text", "bigint", "text", "smallint", "text", "text", "timestamptz")
_INSERT = """
insert into log.{table}
select position, id, stream, version, type, schema_version, data::json, meta::json, at, 'none'
  from unnest({arrays}) as t(position, id, stream, version, type, schema_version, data, meta, at)"""

Told = tuple[str, Event, int]  # a stream, what is said, and the position of its cause or 0


async def write(owner: Database, events: int) -> None:
    """Write so many events into an empty log, as its owner may."""
    began = datetime.now(UTC) - timedelta(seconds=STEP_S * events)
    for number in range((datetime.now(UTC) - began).days + 2):
        await owner.execute("select log.make_partition($1)", began.date() + timedelta(days=number))
    versions: dict[str, int] = {}
    rows = islice(_rows(began, versions), events)
    while some := list(islice(rows, AT_ONCE)):
        for table, wanted in (("facts", False), ("telemetry", True)):
            those = [row for row in some if (row[4] in TELEMETRY_TYPES) is wanted]
            arrays = ", ".join(f"${k}::{each}[]" for k, each in enumerate(_COLUMNS, 1))
            sql = _INSERT.format(table=table, arrays=arrays)
            if those:
                await owner.execute(sql, *(list(column) for column in zip(*those, strict=True)))


def _rows(began: datetime, versions: dict[str, int]) -> Iterator[tuple[Any, ...]]:
    roots: dict[int, int] = {}
    for position, (stream, event, cause) in enumerate(_told(), 1):
        versions[stream] = versions.get(stream, 0) + 1
        at = began + timedelta(seconds=STEP_S * position)
        root = roots[position] = roots.get(cause, cause) if cause else position
        meta = {"actor": "bench", "occurred_at": at, "proposer": "scheduler"}
        if cause:
            meta |= {"causation_id": str(_id(cause)), "correlation_id": str(_id(root))}
        data = event.model_dump_json()
        raw = orjson.dumps(meta).decode()
        yield position, _id(position), stream, versions[stream], event.type, 1, data, raw, at


def _id(position: int) -> UUID:
    return UUID(int=0x7 << 76 | 0x2 << 62 | position)


def _told() -> Iterator[Told]:
    positions = count(1)
    for number in range(NODES):
        yield from _node(f"n{number}", positions)
    registered = {}
    for number in range(MODELS):
        registered[f"m{number}"] = next(positions)
        yield f"model/m{number}", _model(f"m{number}"), 0
    last: dict[str, int] = dict(registered)
    for life in count():
        model_id = HOT if life % 3 == 0 else f"m{life % MODELS}"
        length = life % 7
        sample = q.QueueSampled(model_id=model_id, length=length, ready=length, unacknowledged=0)
        next(positions)
        yield f"queue-samples/{model_id}", sample, 0
        yield from _life(life, model_id, positions, last)
        if life % 500 == 0:  # a person mends something: the chain of restarts begins anew
            last[model_id] = next(positions)
            yield f"model/{model_id}", m.ModelUpdated(**_model(model_id).model_dump()), 0


def _node(node_id: str, positions: Iterator[int]) -> Iterator[Told]:
    cause = next(positions)
    registered = n.NodeRegistered(
        node_id=node_id, environment_id="bench", name=node_id, agent_url=f"http://{node_id}:9000"
    )
    yield f"node/{node_id}", registered, 0
    next(positions)
    yield f"node/{node_id}", n.NodeCameOnline(node_id=node_id, boot_id="b"), cause
    gpus = tuple(Gpu(uuid=f"GPU-{node_id}-{k}", index=k) for k in range(GPUS))
    next(positions)
    inventory = n.NodeInventoryChanged(
        node_id=node_id, boot_id="b", gpus=gpus, supported_models=("*",)
    )
    yield f"node/{node_id}", inventory, cause


def _model(model_id: str) -> m.ModelRegistered:
    return m.ModelRegistered(
        model_id=model_id,
        environment_id="bench",
        name=model_id,
        queue=QueueAddress(host="broker", name=model_id, username="worker"),
        average_inference_time_s=2.0,
        launch=Launch(template="worker"),
    )


def _life(
    life: int, model_id: str, positions: Iterator[int], last: dict[str, int]
) -> Iterator[Told]:
    """Yield an instance from its start to its death, which leads to the model's next one."""
    place, instance_id = life % (NODES * GPUS), f"i-{life}"
    node_id = f"n{place // GPUS}"
    gpu = f"GPU-{node_id}-{place % GPUS}"
    where = {"instance_id": instance_id, "model_id": model_id, "node_id": node_id, "gpu_uuid": gpu}
    cause = last[model_id]
    next(positions)
    yield f"gpu/{gpu}", g.GpuAllocated(**where), cause
    wanted = next(positions)
    start = i.InstanceStartRequested(
        **where,
        model_name=model_id,
        gpu_index=place % GPUS,
        boot_id="b",
        launch=Launch(template="worker"),
        reason=Reason(code="below_floor", numbers={"instances": 0, "floor": 1}),
    )
    yield f"instance/{instance_id}", start, cause
    started = next(positions)
    yield f"instance/{instance_id}", i.InstanceStarted(**where, pid=4711), wanted
    died = last[model_id] = next(positions)
    yield f"instance/{instance_id}", i.InstanceDied(**where, because="exited", exit_code=1), started
    next(positions)
    freed = g.GpuFreed(gpu_uuid=gpu, node_id=node_id, instance_id=instance_id, because="died")
    yield f"gpu/{gpu}", freed, died
