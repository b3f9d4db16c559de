"""The inbox of RabbitMQ: in order, until it is lost, and never more than it may hold."""

import pytest

from services.chassis.bus.inbox import RabbitInbox
from services.chassis.errors import Unavailable


class Incoming:
    headers = None
    routing_key = user_id = reply_to = correlation_id = message_id = None
    redelivered = False

    def __init__(self, body: bytes) -> None:
        self.body = body


async def bodies(inbox: RabbitInbox) -> list[bytes]:
    return [(await inbox.next(1)).body for _ in range(inbox.ready())]


async def test_who_does_not_read_loses_the_oldest_and_no_memory():
    inbox = RabbitInbox(None, None, limit_bytes=10)
    for number in range(100):
        await inbox._on_message(Incoming(b"%03d" % number))
    assert await bodies(inbox) == [b"097", b"098", b"099"]
    await inbox._on_message(Incoming(b"one too large to be held"))
    assert inbox.ready() == 0
    assert await inbox.next(0.01) is None
    await inbox._on_message(Incoming(b"next"))
    assert await bodies(inbox) == [b"next"]


async def test_without_a_limit_everything_waits():
    inbox = RabbitInbox(None, None)
    for number in range(100):
        await inbox._on_message(Incoming(b"%d" % number))
    assert inbox.ready() == 100


@pytest.mark.parametrize("limit", [None, 3])
async def test_a_lost_channel_is_told_after_what_had_come(limit):
    inbox = RabbitInbox(None, None, limit_bytes=limit)
    await inbox._on_message(Incoming(b"abc"))
    inbox._on_lost()
    assert (await inbox.next(1)).body == b"abc"
    for _ in range(2):
        with pytest.raises(Unavailable):
            await inbox.next(1)


async def test_a_lost_channel_is_told_though_its_mark_fell_out():
    inbox = RabbitInbox(None, None, limit_bytes=3)
    await inbox._on_message(Incoming(b"abc"))
    inbox._on_lost()
    await inbox._on_message(Incoming(b"abcd"))
    with pytest.raises(Unavailable):
        await inbox.next(1)
