"""Rows 21 to 29: the database loses a backend, restarts, has no room, is blocked, is put back."""

from __future__ import annotations

import asyncio
import os
import subprocess
import time
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from typing import TYPE_CHECKING

import orjson
import psutil
import psycopg

from deploy.local import processes
from services.chassis.database import connect_pool
from services.chassis.errors import Unavailable
from services.chassis.proposer import Accepted
from services.journal.adapters.postgres import PostgresLog
from tests.e2e.fleet import eventually
from tests.faults.following import (
    GATEWAY,
    an_environment,
    connected,
    proposer,
    reading,
    through,
)
from tests.faults.proxy import Answerless, FaultProxy
from tests.faults.registry import proven, row
from tests.shared.log import command, entry

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from tests.faults.ground import Ground

BLOCKED_S = 8.0
DISK_MB = 32
RAISED = 4  # times in a row
MOST_CONNECTIONS = 100
NONE_LEFT_S = 5.0


@row(
    21,
    "one PostgreSQL backend killed",
    "all connections drop, pools heal, no append is partial",
    "SIGKILL of the journal's own backend",
)
async def backend_killed(ground: Ground) -> None:
    async with ground.trial("backend-killed"):
        psutil.Process(await ground.backend("qm_journal")).kill()


@row(
    22,
    "immediate restart of PostgreSQL",
    "what was committed is there; control is back in 30 s",
    "stop in mode immediate, start on the same data",
)
async def restarts(ground: Ground) -> None:
    async with ground.trial("postgres-restarted"):
        await asyncio.to_thread(ground.database.restart)


@row(
    24,
    "disk full",
    "commands are refused, reads and workers go on; all is back once there is room",
    "log.facts moves to a tmpfs of its own, which is filled",
    as_root=True,
)
async def disk_full(ground: Ground) -> None:
    async with _small_disk(ground) as disk, ground.trial("disk-full", kill_worker=False):
        alive = {worker.pid for worker in ground.workers()}
        filler = disk / "filler"
        with suppress(OSError), filler.open("wb", buffering=0) as file:
            while True:
                file.write(b"\0" * 4096)
        try:
            await ground.is_refused()
            await ground.query.one("/status")
        finally:
            filler.unlink()
        assert alive == {worker.pid for worker in ground.workers()}, "workers ended"


@asynccontextmanager
async def _small_disk(ground: Ground) -> AsyncIterator[Path]:
    """Keep the facts on a small disk for the length of a block."""
    server = processes.find(processes.recall(ground.database.record))
    assert server is not None
    place = ground.state / "small"
    place.mkdir()
    subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={DISK_MB}m", "tmpfs", str(place)], check=True
    )
    inside = place / "space"
    inside.mkdir()
    os.chown(inside, server.uids().real, server.gids().real)
    try:
        await ground.sql(f"create tablespace small location '{inside}'")
        await ground.sql("alter table log.facts set tablespace small")
        yield place
        await ground.sql("alter table log.facts set tablespace pg_default")
        await ground.sql("checkpoint")
        await ground.sql("drop tablespace small")
    finally:
        subprocess.run(["umount", "--lazy", str(place)], check=True)


@row(
    25,
    "frozen backends; a foreign lock",
    "time-outs cut it, nothing hangs for ever, nothing is half recorded",
    f"SIGSTOP of all the journal's backends, then LOCK TABLE log.facts, {BLOCKED_S:g} s each",
)
async def blocked(ground: Ground) -> None:
    asked = "select string_agg(pid::text, ',') from pg_stat_activity where usename = 'qm_journal'"
    async with ground.trial("backends-frozen"):
        pids = [int(pid) for pid in (await ground.sql(asked)).split(",")]
        async with ground.frozen(*map(psutil.Process, pids)):
            await ground.reads_go_on(BLOCKED_S)
    async with ground.trial("table-locked"), ground.session() as session:
        await session.execute("lock table log.facts in share mode")
        await ground.reads_go_on(BLOCKED_S)


@row(
    26,
    "serialization failure, deadlock",
    "the transaction is repeated until it lands; nothing is lost or doubled",
    f"triggers raise 40001 in appends and 40P01 in the projector's, {RAISED} times each",
)
async def conflicts(ground: Ground) -> None:
    tables = {"log.facts": "40001", "rm.checkpoints": "40P01"}
    async with ground.trial("conflicts"):
        for number, (table, code) in enumerate(tables.items()):
            await ground.sql(_raising(number, table, code))
        for number in range(len(tables)):
            asked = f"select last_value from public.fault_{number}"

            async def is_over(asked: str = asked) -> bool:
                await ground.command(f"conflict-{time.monotonic()}", "writer")
                return int(await ground.sql(asked)) > RAISED

            await eventually(is_over, 30.0)
    for number, table in enumerate(tables):
        await ground.sql(
            f"drop trigger fault_{number} on {table}; drop function public.fault_{number}();"
            f" drop sequence public.fault_{number}"
        )


def _raising(number: int, table: str, code: str) -> str:
    """Return SQL that makes changes of a table fail; a sequence counts though all is undone."""
    return f"""
        create sequence public.fault_{number};
        create function public.fault_{number}() returns trigger language plpgsql
        security definer as $$
        begin
          if nextval('public.fault_{number}') <= {RAISED} then
            raise exception 'made up' using errcode = '{code}';
          end if;
          return new;
        end $$;
        create trigger fault_{number} before insert or update on {table}
        for each row execute function public.fault_{number}();"""


@row(
    27,
    "connections exhausted",
    "who cannot connect says so and waits, the journal has connections of its own and records",
    "connections are taken until none is left for others; query, gateway and journal are killed",
)
async def exhausted(ground: Ground) -> None:
    killed = ("query", "gateway", "journal")
    async with ground.trial("connections-exhausted", restless=killed), AsyncExitStack() as stack:
        await _take_all(ground, stack)
        for part in killed:
            await ground.killed_and_back(part)
        await _take_all(ground, stack)  # what the killed ones had
        async with connected(ground, GATEWAY) as of:
            [verdict] = await proposer(of).propose_all([[an_environment()]])
        assert isinstance(verdict, Accepted), verdict
        assert await _none_left(ground), "others can connect: nothing was shown"
        await asyncio.sleep(NONE_LEFT_S)


async def _none_left(ground: Ground) -> bool:
    try:
        async with ground.session("query"):
            return False
    except psycopg.OperationalError:
        return True


async def _take_all(ground: Ground, stack: AsyncExitStack) -> None:
    """Connect until the server takes nobody more."""
    for _ in range(MOST_CONNECTIONS):
        try:
            await stack.enter_async_context(ground.session("query"))
        except psycopg.OperationalError:
            return
    raise AssertionError(f"{MOST_CONNECTIONS} connections were not enough")


@row(
    28,
    "commit of unknown outcome",
    "the repetition by event_id changes nothing and answers with the same position",
    "a proxy cuts an append's connection before the server's answer comes",
)
async def unknown_outcome(ground: Ground) -> None:
    line = await FaultProxy(ground.engines.postgres_port).start()
    url = through(ground.engines.urls("journal")["QM_DATABASE_URL"], line)
    pool = await connect_pool(url, service="journal", min_size=1, max_size=1)
    log, draft = PostgresLog(pool), an_environment()
    data = orjson.dumps(draft.event.model_dump(mode="json")).decode()
    appended = [command(entry(draft.stream, data=data))]
    async with reading(ground) as reader:
        async with ground.trial("unknown-outcome"):
            line.rule = lost = Answerless(draft.stream.encode())
            try:
                await log.append(appended)
                raise AssertionError("the answer was not lost")
            except Unavailable:
                assert lost.done.is_set()
            line.up()
            again = (await log.append(appended))[0]
            assert again.outcome == "duplicate", again
        recorded = await ground.events("environment.created")
        at = [event["position"] for event in recorded if event["stream"] == draft.stream]
        assert tuple(at) == again.positions
        head = await ground.head()
        await eventually(lambda: reader.has_reached(head), 20.0)
    await pool.close()
    await line.close()


proven(
    29,
    "log restored to an earlier point",
    "who stands beyond it sees another event there: it stops, and is rebuilt on command",
    "dump, append, restore; rows put back (tests)",
    "tests/integration/test_backup.py::test_who_saw_more_than_the_backup_holds_is_named",
    "tests/integration/test_projector.py::test_a_log_restored_to_an_earlier_point_stops_the_projector",
    "tests/integration/test_verifying_real.py::test_a_log_without_its_newest_events_was_rewound_and_says_who_saw_more",
)
