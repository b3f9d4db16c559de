"""Snapshots on RabbitMQ and PostgreSQL pass the suite of all snapshots."""

import asyncio
from contextlib import suppress

import pytest

from services.chassis import bus as rabbit
from services.chassis.database import connect_pool
from services.journal.adapters.postgres import PostgresLog
from services.journal.handlers import Journal
from tests.shared.snapshots import CLOCK, SERVICE, SnapshotSuite


@pytest.fixture(scope="module")
def connect(broker):
    async def connect(service: str):
        return await rabbit.connect(service, broker.url(service))

    return connect


@pytest.fixture(scope="module")
async def pool(database):
    pool = await connect_pool(database.url("journal"), service="journal", min_size=2, max_size=6)
    yield pool
    await pool.close()


@pytest.fixture(scope="module")
async def log(pool):
    log = PostgresLog(pool)
    await log.make_partitions()
    return log


@pytest.fixture(scope="module")
async def journal(connect, log):
    bus = await connect("journal")
    journal = Journal(bus, log, CLOCK)
    running = asyncio.create_task(journal.run())
    yield journal
    running.cancel()
    with suppress(asyncio.CancelledError):
        await running
    await bus.close()


class TestSnapshots(SnapshotSuite):
    async def forget(self, log, upload):
        sql = "delete from log.snapshot_chunks where service = $1 and upload = $2::uuid"
        await log._database.execute(sql, SERVICE, upload)


async def test_chunks_nobody_named_are_swept_and_older_folds_forgotten(database, log, pool):
    from services.chassis.ids import uuid7
    from services.journal.snapshots import Piece

    uploads = [uuid7(), uuid7()]
    for upload in uploads:
        await log.put_chunk(SERVICE, Piece(upload=upload, number=0), b"x")
    database.superuser_sql(
        "update log.snapshot_chunks set put_at = now() - interval '2 hours'"
        f" where upload = '{uploads[0]}'"
    )
    database.superuser_sql(
        "insert into log.snapshots select 'deployer', repeat('a', 64), 1, gen_random_uuid(),"
        " gen_random_uuid(), 1, '{}', null, now(), now() - interval '8 days'"
    )
    await log.drop_snapshots(SERVICE, "b" * 64, [])
    assert await log.chunk(SERVICE, Piece(upload=uploads[0], number=0)) is None
    assert await log.chunk(SERVICE, Piece(upload=uploads[1], number=0)) == b"x"
    assert await log.snapshots(SERVICE, "a" * 64) == []
