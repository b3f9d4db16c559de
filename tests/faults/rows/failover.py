"""Row 23: the database's machine is lost, and a synchronous standby takes its place."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING
from urllib.parse import urlsplit, urlunsplit

import orjson

from deploy.local import access
from services.chassis.database import connect_pool
from services.chassis.errors import Unavailable
from services.chassis.proposer import Accepted
from services.journal.adapters import postgres
from tests.e2e.fleet import eventually
from tests.faults.following import GATEWAY, an_environment, connected, proposer, reading
from tests.faults.registry import row
from tests.faults.standby import Standby
from tests.in_memory import ended
from tests.shared.log import command, entry

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from services.chassis.ports import Bus
    from tests.faults.ground import Ground

BEFORE = 20  # events that were answered when it begins
DEAF_S = postgres.APPEND_S + 6.0  # until the journal has given an append up and repeats it
UNDER_WAY_S = 1.0
PATIENCE_S = 4.0


class Answered:
    """Proposes one fact after the other, and keeps where each one was said to be."""

    def __init__(self, of: Bus) -> None:
        self.positions: dict[str, int] = {}
        self._proposer = proposer(of, patience_s=120.0)

    async def go_on(self) -> None:
        """Propose for ever."""
        while True:
            [verdict] = await self._proposer.propose_all([[an_environment()]])
            assert isinstance(verdict, Accepted), verdict
            self.positions[verdict.event_ids[0]] = verdict.position


@asynccontextmanager
async def answering(ground: Ground) -> AsyncIterator[Answered]:
    """Have facts recorded for the length of a block."""
    async with connected(ground, GATEWAY) as of:
        answered = Answered(of)
        task = asyncio.create_task(answered.go_on())
        try:
            yield answered
        finally:
            await ended(task)


@row(
    23,
    "failover to a standby",
    "no answered event is lost, nobody saw one that is; the old primary confirms nothing more",
    f"a synchronous standby hears nothing for {DEAF_S:g} s, then SIGKILL of the primary; the"
    " standby is promoted in its place; the old one is started again",
)
async def failover(ground: Ground) -> None:
    standby = Standby(ground.database)
    aside = ground.database.cluster.home / "data.aside"
    await standby.begin()
    async with reading(ground) as reader, answering(ground) as answered:
        async with ground.trial("failover", kill_worker=False):
            await eventually(lambda: len(answered.positions) > BEFORE, 30.0)
            with access.only_one(ground.state):  # nobody starts the primary again
                with standby.deaf():
                    await asyncio.sleep(UNDER_WAY_S)
                    known = len(answered.positions)
                    await asyncio.sleep(DEAF_S)
                    assert len(answered.positions) == known, "answered before the standby had it"
                    await asyncio.to_thread(ground.database.kill)
                await asyncio.to_thread(standby.take_over, aside)
            await ground.restart_engines()
        await eventually(lambda: len(answered.positions) > known, 30.0)
        head = await ground.head()
        await eventually(lambda: reader.has_reached(head), 30.0)
    recorded = await all_recorded(ground)
    assert {id_: at for id_, at in answered.positions.items() if recorded.get(at) != id_} == {}
    assert {at: id_ for at, id_ in reader.ids.items() if recorded.get(at, id_) != id_} == {}
    async with standby.returned(aside) as port:
        await confirms_nothing(ground, port)


async def all_recorded(ground: Ground) -> dict[int, str]:
    """Return which event is at which position now."""
    said = await ground.sql("select jsonb_object_agg(position, event_id) from log.all_events")
    return {int(at): id_ for at, id_ in orjson.loads(said).items()}


async def confirms_nothing(ground: Ground, port: int) -> None:
    """Append to a primary whose standby has gone: it does not say that it is recorded."""
    url = ground.engines.urls("journal")["QM_DATABASE_URL"]
    parts = urlsplit(url)
    there = parts._replace(netloc=f"{parts.netloc.rpartition(':')[0]}:{port}")
    pool = await connect_pool(urlunsplit(there), service="journal", max_size=2)
    arguments = postgres.arguments([command(entry("environment/late"))])
    head = await pool.fetchval("select log.head()")
    try:
        await pool.commit(postgres.QUERIES["append"], *arguments, None, within_s=PATIENCE_S)
        raise AssertionError("an old primary confirmed what nobody else has")
    except Unavailable:
        assert await pool.fetchval("select log.head()") == head, "it is seen all the same"
    finally:
        await pool.close()
