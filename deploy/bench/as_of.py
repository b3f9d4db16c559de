"""Reads of the past: every read of the query service as of points all over a log's history.

For `just bench memory`: give it the URL of the query service's role on a database whose log is
long and whose read models are folded.
"""

from __future__ import annotations

import random
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import httpx2
import orjson

from deploy.bench.table import percentile
from services.chassis.database import connect_pool

ASKED, WARM_UP = 100, 2
LISTS = (
    "environments",
    "models",
    "nodes",
    "gpus",
    "gpus?state=free",
    "instances",
    "instances?active=true",
    "queues",
    "deployments/status",
    "strategies",
    "alerts",
    "alerts?open=true",
    "webhooks",
    "decisions",
    "decisions?order=desc",
    "events",
    "status",
)
# Of one thing: how it is found among all there are now, and what is asked of it.
OF_ONE = {
    "models": ("model_id", ("models/{}", "instances?model_id={}", "decisions?model_id={}")),
    "nodes": ("node_id", ("nodes/{}", "gpus?node_id={}", "instances?node_id={}&active=true")),
    "gpus": ("uuid", ("gpus/{}",)),
    "instances": ("instance_id", ("instances/{}", "events?stream=instance/{}")),
    "queues": ("model_id", ("queues/{}", "queues/{}/history", "events?stream=queue-samples/{}")),
}
_MOST_PAGES = 10
_NOT_THERE = 404


@dataclass
class Cost:
    """How long one read took (ms): live, as of a position, as of a moment."""

    live: list[float] = field(default_factory=list)
    position: list[float] = field(default_factory=list)
    moment: list[float] = field(default_factory=list)

    @property
    def p99(self) -> float:
        """The slower of the two ways to ask for the past."""
        return max(percentile(self.position, 99), percentile(self.moment, 99))


async def measure(query_url: str, *, asked: int = ASKED) -> dict[str, Cost]:
    """Return what every read costs, live and as of points drawn from the whole history."""
    from services.query.adapters.checkpoint import CheckpointWatch  # noqa: PLC0415
    from services.query.adapters.reader import DatabaseReader  # noqa: PLC0415
    from services.query.routes import application  # noqa: PLC0415

    pool = await connect_pool(query_url, service="query", min_size=1, max_size=4)
    reader = DatabaseReader(pool, CheckpointWatch(pool, wait_s=5.0))
    transport = httpx2.ASGITransport(application(reader))
    async with httpx2.AsyncClient(transport=transport, base_url="http://bench") as client:
        trial = Trial(client, random.Random(7))  # noqa: S311 (an order, not a secret)
        await trial.look_around()
        for number in range(asked + WARM_UP):
            await trial.round(keep=number >= WARM_UP)
    await pool.close()
    return trial.costs


def numbers(costs: dict[str, Cost]) -> dict[str, float]:
    """Return the slowest read's p99, of the past and of now, and that of all reads together."""
    every = [took for cost in costs.values() for took in cost.position + cost.moment]
    return {
        "as_of_pooled_p99_ms": round(percentile(every, 99), 2),
        "as_of_p99_ms": round(max(cost.p99 for cost in costs.values()), 2),
        "live_p99_ms": round(max(percentile(cost.live, 99) for cost in costs.values()), 2),
    }


COLUMNS = ("read", "live p99 ms", "as_of p50 ms", "as_of p99 ms", "worst ms")


def rows(costs: dict[str, Cost]) -> list[tuple[str, float, float, float, float]]:
    """Return a row for each read under COLUMNS, the slowest first."""
    made = [
        (
            name,
            percentile(cost.live, 99),
            percentile(cost.position + cost.moment, 50),
            cost.p99,
            max(cost.position + cost.moment),
        )
        for name, cost in costs.items()
    ]
    return sorted(made, key=lambda row: -row[3])


class Trial:
    """Asks every read again and again."""

    def __init__(self, client: httpx2.AsyncClient, chance: random.Random) -> None:
        self._client, self._chance = client, chance
        self._head = 0
        self._ids: dict[str, list[str]] = {}
        self.costs: dict[str, Cost] = {}

    async def look_around(self) -> None:
        """Learn how long the log is, and of what one can ask."""
        self._head = (await self._got("status"))["head"]
        for name, (key, _) in OF_ONE.items():
            self._ids[name] = [row[key] for row in await self._pages(name)]

    async def round(self, *, keep: bool) -> None:
        """Ask every read once each way."""
        for name, path in self._reads():
            cost = self.costs.setdefault(name, Cost())
            position = self._chance.randrange(1, self._head + 1)
            told = await self._client.get("/status", params={"as_of": position})
            moment = orjson.loads(told.headers["qm-as-of"])["recorded_at"]
            for times, as_of in (
                (cost.live, {}),
                (cost.position, {"as_of": position}),
                (cost.moment, {"as_of": moment}),
            ):
                took = await self._timed(path, as_of)
                if keep:
                    times.append(took)

    def _reads(self) -> list[tuple[str, str]]:
        found = [(path, path) for path in LISTS]
        for name, (_, paths) in OF_ONE.items():
            if self._ids[name]:
                id_ = self._chance.choice(self._ids[name])
                found += [(path.format("ID"), path.format(id_)) for path in paths]
        return found

    async def _timed(self, path: str, as_of: dict[str, Any]) -> float:
        begun = time.perf_counter()
        answer = await self._ask(path, as_of)
        took = (time.perf_counter() - begun) * 1000
        if not answer.is_success and answer.status_code != _NOT_THERE:
            raise RuntimeError(f"{path}: {answer.text}")
        return took

    async def _pages(self, name: str) -> list[dict[str, Any]]:
        found, more = [], {"limit": "200"}
        for _ in range(_MOST_PAGES):
            page = await self._got(name, **more)
            found += page["items"]
            if page["next_cursor"] is None:
                break
            more = {"limit": "200", "cursor": page["next_cursor"]}
        return found

    async def _got(self, path: str, **params: str) -> Any:
        answer = await self._ask(path, params)
        return answer.raise_for_status().json()

    async def _ask(self, path: str, more: Mapping[str, Any]) -> httpx2.Response:
        bare, _, narrow = path.partition("?")
        asked = dict(pair.split("=", 1) for pair in narrow.split("&") if pair)
        return await self._client.get(f"/{bare}", params={**asked, **more})
