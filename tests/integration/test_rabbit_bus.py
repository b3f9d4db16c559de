"""The bus on RabbitMQ passes the suite of every bus, and survives what only a broker can do."""

import asyncio
from contextlib import suppress
from urllib.parse import quote

import aio_pika
import pytest

from services.chassis import bus as rabbit
from services.chassis import wire
from services.chassis.errors import Refused, Unavailable
from services.chassis.ports import Message
from tests.in_memory import ended
from tests.shared.bus import SOON_S, BusSuite

MOMENTS = range(1, 11)  # turns of the loop, more than the client needs until it waits


class TestRabbitBus(BusSuite):
    @pytest.fixture
    def connect(self, broker):
        async def connect(service: str):
            return await rabbit.connect(service, broker.url(service))

        return connect

    @pytest.fixture
    def parked(self, broker):
        async def parked() -> int:
            connection = await aio_pika.connect(broker.url("admin"))
            async with connection, connection.channel() as channel:
                queue = await channel.declare_queue(wire.QUEUE_PARKED, passive=True)
                return queue.declaration_result.message_count

        return parked


async def test_declaring_the_topology_again_changes_nothing(broker):
    await broker.declare()


async def test_every_durable_queue_is_replicated_and_bounds_its_redeliveries(broker):
    queues = broker.api("GET", f"queues/{broker.vhost}").json()
    durable = [queue for queue in queues if queue["durable"]]
    assert {"journal.proposed", "qm.parked", "scheduler.lead"} <= {q["name"] for q in durable}
    for queue in durable:
        assert queue["arguments"]["x-queue-type"] == "quorum", queue["name"]
        assert queue["arguments"]["x-delivery-limit"] >= 100, queue["name"]


async def test_a_followers_queue_is_exclusive_bounded_and_dies_with_its_connection(broker):
    follower = await rabbit.connect("scheduler", broker.url("scheduler"))
    await follower.follow("scheduler")
    names = f"queues/{broker.vhost}"

    def own() -> list[dict]:
        return [q for q in broker.api("GET", names).json() if q["name"].endswith(".recorded")]

    async with asyncio.timeout(SOON_S):
        while not own():
            await asyncio.sleep(0.1)
    queue = own()[0]
    assert queue["exclusive"]
    assert queue["arguments"]["x-overflow"] == "drop-head"
    await follower.close()
    async with asyncio.timeout(SOON_S):
        while own():
            await asyncio.sleep(0.1)


async def test_a_deleted_queue_ends_its_inbox(broker):
    follower = await rabbit.connect("scheduler", broker.url("scheduler"))
    inbox = await follower.follow("scheduler")
    async with (await follower._in.connection()).channel() as channel:
        await channel.queue_delete(inbox._queue.name)
    with pytest.raises(Unavailable):
        await inbox.next(SOON_S)
    await follower.close()


@pytest.mark.parametrize("turns", MOMENTS)
async def test_who_is_told_to_end_at_any_moment_of_a_close_ends(broker, turns):
    bus = await rabbit.connect("journal", broker.url("journal"))
    inbox = await bus.consume(wire.QUEUE_JOURNAL, prefetch=1)

    async def close_and_go_on() -> None:
        with suppress(Unavailable):
            await inbox.close()
        await asyncio.Event().wait()

    task = asyncio.create_task(close_and_go_on())
    for _ in range(turns):
        await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait({task}, timeout=SOON_S)
    has_ended = task.cancelled()
    await ended(task)
    await bus.close()
    assert has_ended


async def test_after_its_connection_is_cut_a_bus_publishes_and_asks_again(broker):
    gateway = await rabbit.connect("gateway", broker.url("gateway"))
    journal = await rabbit.connect("journal", broker.url("journal"))
    inbox = await journal.consume(wire.QUEUE_JOURNAL, prefetch=1)

    async def echo() -> None:
        async for delivery in inbox:
            await journal.answer(delivery, delivery.body, {})
            await delivery.ack()

    echoing = asyncio.create_task(echo())
    question = (wire.EXCHANGE_JOURNAL, wire.QUEUE_JOURNAL, b"hello")
    assert (await gateway.ask(*question))[1] == b"hello"
    for link in (gateway._out, gateway._in):
        await (await link.connection()).close()
    async with asyncio.timeout(SOON_S * 2):
        while True:
            try:
                assert (await gateway.ask(*question, timeout_s=1.0))[1] == b"hello"
                break
            except Unavailable:
                await asyncio.sleep(0.05)
    echoing.cancel()
    await gateway.close()
    await journal.close()


async def test_a_service_cannot_publish_what_only_the_journal_may(broker):
    scheduler = await rabbit.connect("scheduler", broker.url("scheduler"))
    with pytest.raises((Refused, Unavailable)):
        await scheduler.publish(wire.EXCHANGE_RECORDED, "a.a", Message(b"[]"), mandatory=False)
    await scheduler.close()


async def test_not_even_an_administrator_can_sign_as_the_journal(broker):
    connection = await aio_pika.connect(broker.url("admin"))
    async with connection, connection.channel() as channel:
        exchange = await channel.get_exchange(wire.EXCHANGE_RECORDED, ensure=False)
        forged = aio_pika.Message(b"[]", user_id="journal")
        with pytest.raises(aio_pika.exceptions.ChannelPreconditionFailed):
            await exchange.publish(forged, "a.a", mandatory=False)


def own_connections(broker, user: str) -> list[str]:
    rows = broker.api("GET", f"vhosts/{broker.vhost}/connections").json()
    return [row["name"] for row in rows if row["user"] == user]


async def test_after_the_broker_cut_its_connections_a_bus_works_again(broker):
    gateway = await rabbit.connect("gateway", broker.url("gateway"))
    inbox = await gateway.follow("gateway")
    async with asyncio.timeout(SOON_S * 2):
        while len(own_connections(broker, "gateway")) < 2:
            await asyncio.sleep(0.1)
    for name in own_connections(broker, "gateway"):
        broker.api("DELETE", f"connections/{quote(name, safe='')}")
    with pytest.raises(Unavailable):
        await inbox.next(SOON_S)
    journal = await rabbit.connect("journal", broker.url("journal"))
    async with asyncio.timeout(SOON_S * 2):
        while True:
            try:
                again = await gateway.follow("gateway")
                await gateway.publish(
                    wire.EXCHANGE_PROPOSED, "proposal", Message(b"{}"), mandatory=True
                )
                break
            except Unavailable:
                await asyncio.sleep(0.05)
    await journal.publish(wire.EXCHANGE_RECORDED, "a.a", Message(b"[]"), mandatory=False)
    assert (await again.next(SOON_S)).body == b"[]"
    proposed = await journal.consume(wire.QUEUE_PROPOSED, prefetch=1)
    await (await proposed.next(SOON_S)).ack()
    await gateway.close()
    await journal.close()


async def test_a_question_nobody_waits_for_any_more_is_forgotten(broker):
    asker = await rabbit.connect("gateway", broker.url("gateway"))
    with pytest.raises(Unavailable):
        await asker.ask(wire.EXCHANGE_JOURNAL, wire.QUEUE_JOURNAL, b"stale", timeout_s=0.3)
    await asyncio.sleep(0.5)
    journal = await rabbit.connect("journal", broker.url("journal"))
    inbox = await journal.consume(wire.QUEUE_JOURNAL, prefetch=1)
    assert await inbox.next(0.5) is None
    await asker.close()
    await journal.close()


async def test_a_queue_that_is_not_there_leaves_no_consumer_behind(broker):
    journal = await rabbit.connect("journal", broker.url("journal"))
    with pytest.raises((Refused, Unavailable)):
        await journal.consume("no.such.queue", prefetch=1)
    inbox = await journal.consume(wire.QUEUE_JOURNAL, prefetch=1)
    assert await inbox.next(0.1) is None
    await journal.close()


@pytest.mark.parametrize(("asked", "given"), [("", 5), ("?heartbeat=7", 7)])
async def test_a_dead_connection_is_noticed_by_its_heartbeat(broker, asked, given):
    url = broker.url("gateway").partition("?")[0] + asked
    bus = await rabbit.connect("gateway", url)
    connection = await bus._out.connection()
    assert connection.transport.connection.heartbeat_timeout == given
    await bus.close()
