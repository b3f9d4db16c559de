"""A connection to the models' broker that is made again whenever it is lost."""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import PurePath
from typing import TypeVar

import aio_pika
from aio_pika.abc import AbstractChannel, AbstractConnection
from aio_pika.connection import make_url
from aio_pika.exceptions import AMQPError
from pamqp.common import Arguments

LOST = (AMQPError, OSError, RuntimeError, TimeoutError)  # RuntimeError: used after it closed
CONNECT_S = 5.0
PUBLISH_S = 5.0
AGAIN_S = 0.25
# Quorum queues of a newer broker throw a message away after 20 deliveries unless told otherwise,
# and every killed worker is a delivery.
QUEUE: Arguments = {"x-queue-type": "quorum", "x-delivery-limit": 1_000}

# The client logs every failed attempt with its traceback; `lasting` is the answer to all of them.
logging.getLogger("aiormq").setLevel(logging.CRITICAL)

_Value = TypeVar("_Value")


@asynccontextmanager
async def connected(url: str, name: str) -> AsyncIterator[AbstractConnection]:
    """Connect for the length of a block."""
    connection = aio_pika.Connection(
        make_url(url), client_properties={"connection_name": PurePath(name).name}
    )
    try:  # also one that is never made must be closed
        await connection.connect(timeout=CONNECT_S)
        yield connection
    finally:
        try:
            async with asyncio.timeout(1.0):
                await connection.close()
        except LOST:
            pass  # it is closed already


async def lasting(use: Callable[[], Awaitable[_Value]]) -> _Value:
    """Return what `use` returns, calling it again each time the broker was lost."""
    while True:
        try:
            return await use()
        except LOST:
            await asyncio.sleep(AGAIN_S)


async def declare(channel: AbstractChannel, *names: str) -> None:
    """Declare durable quorum queues; repeating it changes nothing."""
    for name in names:
        await channel.declare_queue(name, durable=True, arguments=QUEUE)


async def send(channel: AbstractChannel, queue: str, body: bytes, message_id: str) -> None:
    """Publish to a queue and return when the broker has it on disk."""
    message = aio_pika.Message(
        body, message_id=message_id, delivery_mode=aio_pika.DeliveryMode.PERSISTENT
    )
    async with asyncio.timeout(PUBLISH_S):
        await channel.default_exchange.publish(message, queue, mandatory=True)
