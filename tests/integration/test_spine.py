"""The spine on RabbitMQ and PostgreSQL passes the suite of every spine."""

import asyncio
from contextlib import suppress

import aio_pika
import pytest

from services.chassis import bus as rabbit
from services.chassis.database import connect_pool
from services.journal.adapters.postgres import PostgresLog
from services.journal.handlers import Journal
from tests.shared.spine import CLOCK, SpineSuite


@pytest.fixture(scope="module")
def connect(broker):
    async def connect(service: str):
        return await rabbit.connect(service, broker.url(service))

    return connect


@pytest.fixture(scope="module")
async def log(database):
    pool = await connect_pool(database.url("journal"), service="journal", min_size=2, max_size=6)
    log = PostgresLog(pool)
    await log.make_partitions()
    yield log
    await pool.close()


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


@pytest.fixture
async def parked(broker):
    connection = await aio_pika.connect(broker.url("admin"))
    channel = await connection.channel()
    queue = await channel.declare_queue("qm.parked", passive=True)

    async def parked() -> dict:
        async with asyncio.timeout(5):
            while (message := await queue.get(fail=False)) is None:
                await asyncio.sleep(0.02)
        await message.ack()
        return message.headers

    yield parked
    await connection.close()


class TestSpine(SpineSuite):
    pass
