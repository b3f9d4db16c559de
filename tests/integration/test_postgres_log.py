"""The log in PostgreSQL passes the suite of every log, and guards itself beyond it."""

import asyncio

import pytest

from services.chassis.clock import SystemClock
from services.chassis.database import connect_pool
from services.chassis.errors import QuartermasterError
from services.journal.adapters.postgres import PostgresLog
from services.journal.append import GroupAppender
from services.journal.verify import verify
from tests.shared.log import LogSuite, a_stream, command, entry


@pytest.fixture(scope="module")
async def pool(database):
    pool = await connect_pool(database.url("journal"), service="journal", min_size=2, max_size=8)
    yield pool
    await pool.close()


@pytest.fixture(scope="module")
async def log(pool):
    log = PostgresLog(pool)
    await log.make_partitions()
    return log


class TestPostgresLog(LogSuite):
    pass


async def test_two_journals_at_once_keep_positions_dense(pool, log):
    appenders = [GroupAppender(PostgresLog(pool), SystemClock()) for _ in range(2)]
    tasks = [asyncio.create_task(appender.run()) for appender in appenders]
    before = (await log.head()).position
    verdicts = await asyncio.gather(
        *(
            appenders[number % 2].append([command(entry(a_stream())) for _ in range(5)])
            for number in range(60)
        )
    )
    positions = sorted(p for call in verdicts for v in call for p in v.positions)
    assert positions == list(range(before + 1, before + 301))
    for task in tasks:
        task.cancel()


@pytest.mark.parametrize("table", ["log.facts", "log.telemetry", "log.seals"])
@pytest.mark.parametrize("change", ["delete from {}", "truncate {}"])
async def test_nobody_changes_the_log_not_even_its_owner(database, table, change):
    owner = await connect_pool(database.owner_url(), service="test", min_size=1, max_size=1)
    with pytest.raises(QuartermasterError, match="append-only"):
        await owner.execute(change.format(table))
    await owner.close()


async def test_the_journals_role_may_not_write_past_the_append(pool):
    with pytest.raises(QuartermasterError, match="permission denied"):
        await pool.execute("insert into log.seals values ('x', 1, 1, 1, '')")


async def test_verification_names_a_flipped_byte(database, pool, log):
    appender = GroupAppender(log, SystemClock())
    running = asyncio.create_task(appender.run())
    verdict = (await appender.append([command(entry(a_stream()), entry(a_stream()))]))[0]
    running.cancel()
    flipped = verdict.positions[0]
    database.superuser_sql(
        "set session_replication_role = replica;"
        f' update log.facts set data = \'{{"name":"X"}}\' where position = {flipped}'
    )
    report = await verify(log)
    assert (report.ok, report.position) == (False, flipped)
    assert "hash" in report.problem


async def test_a_rewound_log_is_noticed_by_its_cursor(database, log):
    before = await log.cursor()
    row = (await log.read(before, 1))[0]
    assert await log.move_cursor(before, row["position"], row["event_id"])
    database.superuser_sql(
        "update log.cursors set event_id = gen_random_uuid() where name = 'publisher'"
    )
    with pytest.raises(QuartermasterError, match="rewound"):
        await log.cursor()
