"""The log's tables guard themselves: partitions too, and nobody waits long for a lock."""

import asyncio

import pytest

from services.chassis.database import connect_pool
from services.chassis.errors import QuartermasterError, Unavailable
from services.journal.adapters.postgres import PostgresLog
from services.journal.history import PAGE_SPAN, HistoryQuestion, answer
from tests.shared.log import a_stream, command, entry

FAR = 400  # days: no partition is there yet
SOON_S = 20.0


@pytest.fixture(scope="module")
async def pool(database):
    pool = await connect_pool(database.url("journal"), service="journal", min_size=2, max_size=8)
    yield pool
    await pool.close()


@pytest.fixture(scope="module")
async def owner(database):
    pool = await connect_pool(database.owner_url(), service="test", min_size=2, max_size=4)
    yield pool
    await pool.close()


def made(pool, day: int):
    return pool.execute("select log.make_partition(current_date + $1::int)", day)


async def test_many_journals_make_the_same_partition_at_once(pool):
    await asyncio.gather(*(made(pool, FAR) for _ in range(8)))


async def test_making_a_partition_waits_for_no_reader(pool, owner):
    async with owner.transaction() as reading, asyncio.timeout(SOON_S):
        await reading.fetch("select count(*) from log.telemetry")
        await made(pool, FAR + 1)


@pytest.mark.parametrize("change", ["delete from {}", "truncate {}", "update {} set version = 1"])
async def test_a_partition_is_append_only_by_itself(owner, change):
    day = await owner.fetchval("select to_char(now() at time zone 'UTC', 'YYYYMMDD')")
    with pytest.raises(QuartermasterError, match="append-only"):
        await owner.execute(change.format(f"log.telemetry_{day}"))


async def test_an_append_does_not_wait_for_ever_behind_a_frozen_one(pool, owner):
    log = PostgresLog(pool)
    async with owner.transaction() as frozen:
        await frozen.execute("select pg_advisory_xact_lock(7306086854203)")
        with pytest.raises(Unavailable):
            async with asyncio.timeout(SOON_S):
                await log.append([command(entry(a_stream()))])
    verdicts = await log.append([command(entry(a_stream()))])
    assert verdicts[0].outcome == "appended"


async def test_a_page_of_rare_events_looks_through_so_many_positions_and_no_more(pool):
    log = PostgresLog(pool)
    await log.append([command(entry(a_stream()), entry(a_stream(), type="model.deleted"))])
    head = (await log.head()).position
    question = HistoryQuestion(types=["model.deleted"], after=0)
    rows, _ = await log.page(question, head - 1, 10)
    assert not rows
    rows, _ = await log.page(question, head, 10)
    assert [row["position"] for row in rows] == [head]
    headers, _ = await answer(log, HistoryQuestion(types=["no.such"], after=head))
    assert headers["through"] == head < PAGE_SPAN
