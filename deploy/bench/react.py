"""`just bench react`: from the publish that makes a queue busy to the first ready worker."""

from __future__ import annotations

import asyncio
import random
import shutil
import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import aio_pika
import httpx2
from aio_pika.abc import AbstractChannel

from contracts.envelope import Recorded
from deploy.bench.table import last_line, percentile, show
from deploy.demo import fleet, link
from deploy.demo.client import Gateway
from deploy.demo.messages import RESULTS, Work, queue_of
from deploy.local.engines import Engines
from deploy.local.errors import say
from deploy.local.platform import Plan, Platform
from services.chassis import bus
from services.chassis.clock import SystemClock
from services.chassis.follower import Follower
from services.chassis.ids import uuid7

TRIALS = 50
PROBE_S = 2.0  # left in: how often a queue is looked at between its samples
REQUESTS, EXEC_S = 300, 2.0  # a mean of a few samples of it is busy at once, whatever was before
GPUS = 4
DEADLINE_S = 60.0
WATCHED = frozenset(
    {"queue.sampled", "instance.start_requested", "instance.started", "gpu.freed", "model.deleted"}
)


@dataclass(frozen=True)
class Trial:
    """What was seen of one reaction, each in seconds since the publish."""

    sampled_s: float
    requested_s: float
    started_s: float

    @property
    def react_s(self) -> float:
        """From the sample that showed it to the ready worker: the sampling interval taken out."""
        return self.started_s - self.sampled_s


class Watch:
    """Follows the log, and notes when each event was received here."""

    def __init__(self, connection: Any) -> None:
        self._follower = Follower(connection, "demo", WATCHED, SystemClock())
        self._seen: list[tuple[Recorded, datetime]] = []
        self._moved = asyncio.Event()

    async def run(self) -> None:
        """Follow for ever."""
        async for batch in self._follower.batches():
            now = datetime.now(UTC)
            self._seen += [(event, now) for event in batch]
            self._moved.set()

    async def first(self, type_: str, **fields: Any) -> tuple[Recorded, datetime]:
        """Return the first event of a type with these fields, and when it came."""
        async with asyncio.timeout(DEADLINE_S):
            while True:
                for event, at in self._seen:
                    if event.type == type_ and all(
                        event.data.get(name) == value for name, value in fields.items()
                    ):
                        return event, at
                self._moved.clear()
                await self._moved.wait()

    async def busy_sample(self, model_id: str) -> datetime:
        """Return when the first sample was taken that found requests waiting."""
        async with asyncio.timeout(DEADLINE_S):
            while True:
                for event, _ in self._seen:
                    if (
                        event.type == "queue.sampled"
                        and event.data["model_id"] == model_id
                        and event.data["length"] > 0
                    ):
                        return datetime.fromisoformat(event.meta.occurred_at)
                self._moved.clear()
                await self._moved.wait()


def main(arguments: Sequence[str]) -> None:
    """Run the trials and print what they took; `trials=N` for another number."""
    given = dict(argument.split("=", 1) for argument in arguments)
    trials = asyncio.run(run(int(given.get("trials", TRIALS))))
    report(trials)


async def run(count: int) -> list[Trial]:
    """Start a platform of its own, with models that have no instance, and try each once."""
    state = await asyncio.to_thread(own_directory)
    settings = {"QM_QUEUE_PROBE_INTERVAL": str(PROBE_S)}
    platform = Platform(Plan(state, {"node-1": GPUS}, settings), say)
    try:
        running = await platform.start()
        await platform.ready()
        async with _watched(running) as (watch, channel):
            return await _trials(platform, running, watch, channel, count)
    finally:
        await platform.stop()
        shutil.rmtree(state, ignore_errors=True)


def own_directory() -> Path:
    """Return a new directory that engines running as another user can pass through."""
    state = Path(tempfile.mkdtemp(prefix="qm-bench-"))
    state.chmod(0o711)
    return state


@asynccontextmanager
async def _watched(running: Engines) -> AsyncIterator[tuple[Watch, AbstractChannel]]:
    connection = await bus.connect("demo", running.amqp_url("demo"))
    watch = Watch(connection)
    following = asyncio.create_task(watch.run())
    models = await aio_pika.connect(running.amqp_url("models", "models"))
    async with models, models.channel() as channel:
        yield watch, channel
    following.cancel()
    await connection.close()


async def _trials(
    platform: Platform, running: Engines, watch: Watch, channel: AbstractChannel, count: int
) -> list[Trial]:
    gateway = Gateway(platform.gateway_url, platform.api_token, platform.api)
    await _create_fleet(gateway, platform)
    headers = {"Authorization": f"Bearer {platform.api_token}"}
    trials = []
    async with httpx2.AsyncClient(base_url=platform.gateway_url, headers=headers) as http:
        for number in range(count):
            model = await _model(gateway, channel, running, f"m{number:02d}")
            await watch.first("queue.sampled", model_id=model["id"])
            trials.append(await _one(watch, channel, model))
            (await http.delete(f"/api/v1/models/{model['id']}")).raise_for_status()
            await (await channel.get_queue(queue_of(model["name"]))).purge()
            await watch.first("gpu.freed", instance_id=await _instance(watch, model["id"]))
            say(f"trial {number + 1}/{count}: {trials[-1].react_s:.2f} s")
    await gateway.close()
    return trials


async def _create_fleet(gateway: Gateway, platform: Platform) -> None:
    environment = await gateway.put("/environments", {"name": fleet.ENVIRONMENT})
    for node in platform.nodes:
        body = {
            "name": node.name,
            "environment_id": environment["id"],
            "agent_url": node.url,
            "available_gpu_ids": list(range(node.gpus)),
        }
        await gateway.put("/nodes", body)


async def _model(
    gateway: Gateway, channel: AbstractChannel, running: Engines, name: str
) -> dict[str, Any]:
    """Return a new model with an empty queue and no floor, so that nothing runs for it."""
    await link.declare(channel, queue_of(name), RESULTS)
    broker = fleet.Broker(
        host=running.amqp_host,
        management_port=running.management_port,
        amqp_port=running.amqp_port,
        vhost="models",
        username="models",
        password=running.credentials.broker["models"],
    )
    environment = await gateway.put("/environments", {"name": fleet.ENVIRONMENT})
    body = fleet.model(name, EXEC_S, 1.0, broker)
    body |= {"environment_id": environment["id"], "min_instances": 0, "max_instances": 1}
    return await gateway.put("/models", body)


async def _instance(watch: Watch, model_id: str) -> str:
    event, _ = await watch.first("instance.start_requested", model_id=model_id)
    return str(event.data["instance_id"])


async def _one(watch: Watch, channel: AbstractChannel, model: dict[str, Any]) -> Trial:
    """Publish at a random moment of the probe's interval, and wait for the ready worker."""
    await asyncio.sleep(random.uniform(0, PROBE_S))  # noqa: S311 (a phase, not a secret)
    published = datetime.now(UTC)
    works = [Work(uuid7(), model["name"], EXEC_S, published.timestamp()) for _ in range(REQUESTS)]
    queue = queue_of(model["name"])
    await asyncio.gather(*(link.send(channel, queue, work.encode(), work.id) for work in works))
    sampled = await watch.busy_sample(model["id"])
    _, requested = await watch.first("instance.start_requested", model_id=model["id"])
    _, started = await watch.first("instance.started", model_id=model["id"])
    return Trial(*((at - published).total_seconds() for at in (sampled, requested, started)))


def report(trials: Sequence[Trial]) -> None:
    """Print a table and the last line."""
    react = [trial.react_s for trial in trials]
    whole = [trial.started_s for trial in trials]
    decided = [trial.requested_s - trial.sampled_s for trial in trials]
    rows = [
        ("sample to decision", percentile(decided, 50), percentile(decided, 95)),
        ("sample to ready worker", percentile(react, 50), percentile(react, 95)),
        (
            f"publish to ready, probed every {PROBE_S:g} s",
            percentile(whole, 50),
            percentile(whole, 95),
        ),
    ]
    show(f"Reaction over {len(trials)} trials", ("from, to", "p50 s", "p95 s"), rows)
    last_line(
        {
            "react_p50_s": round(percentile(react, 50), 3),
            "react_p95_s": round(percentile(react, 95), 3),
            "react_sampled_p95_s": round(percentile(whole, 95), 3),
            "decide_p95_s": round(percentile(decided, 95), 3),
            "trials": len(trials),
        }
    )
