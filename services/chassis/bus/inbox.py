"""A consumer on a channel of its own: deliveries in order, until the channel is lost."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, Any

from services.chassis.bus.errors import mapped
from services.chassis.errors import Unavailable

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from aio_pika.abc import AbstractChannel, AbstractIncomingMessage, AbstractQueue

CLOSE_TIMEOUT_S = 2.0
LOST = "the queue's channel is closed"


class RabbitDelivery:
    """One message as RabbitMQ delivered it."""

    __slots__ = (
        "_message",
        "body",
        "correlation_id",
        "headers",
        "message_id",
        "redelivered",
        "reply_to",
        "routing_key",
        "user_id",
    )

    def __init__(self, message: AbstractIncomingMessage) -> None:
        self._message = message
        self.body = message.body
        self.headers: Mapping[str, Any] = message.headers
        self.routing_key = message.routing_key or ""
        self.user_id = message.user_id
        self.reply_to = message.reply_to
        self.correlation_id = message.correlation_id
        self.message_id = message.message_id
        self.redelivered = bool(message.redelivered)

    async def ack(self, *, multiple: bool = False) -> None:
        """Say that this message (and all before it, if multiple) took effect."""
        with mapped("acknowledging"):
            await self._message.ack(multiple=multiple)

    async def reject(self) -> None:
        """Send the message to its queue's dead letters."""
        with mapped("rejecting"):
            await self._message.reject(requeue=False)

    async def requeue(self) -> None:
        """Give the message back to its queue."""
        with mapped("giving back"):
            await self._message.nack(requeue=True)


class RabbitInbox:
    """Deliveries of one queue; None in the buffer says that the channel is gone.

    limit_bytes: what may wait unread; beyond it the oldest go. For consumers without
    acknowledgements, which nothing else holds back.
    """

    def __init__(
        self, channel: AbstractChannel, queue: AbstractQueue, *, limit_bytes: int | None = None
    ) -> None:
        self._channel = channel
        self._queue = queue
        self._buffer: deque[RabbitDelivery | None] = deque()
        self._arrived = asyncio.Event()
        self._limit_bytes, self._bytes = limit_bytes, 0
        self._lost = False

    async def start(self, *, no_ack: bool) -> None:
        """Begin to consume."""
        self._channel.close_callbacks.add(self._on_lost)
        underlay = await self._channel.get_underlay_channel()
        underlay.on_consumer_cancel_callbacks.add(self._on_cancelled)
        await self._queue.consume(self._on_message, no_ack=no_ack)

    async def _on_message(self, message: AbstractIncomingMessage) -> None:
        self._bytes += len(message.body)
        self._put(RabbitDelivery(message))
        while self._limit_bytes is not None and self._bytes > self._limit_bytes:
            self._pop()

    def _on_lost(self, *_: object) -> None:
        self._put(None)

    async def _on_cancelled(self, *_: object) -> None:
        self._put(None)

    def _put(self, delivery: RabbitDelivery | None) -> None:
        self._buffer.append(delivery)
        self._arrived.set()

    def _pop(self) -> RabbitDelivery | None:
        delivery = self._buffer.popleft()
        if delivery is None:
            self._lost = True
        else:
            self._bytes -= len(delivery.body)
        if not self._buffer:
            self._arrived.clear()
        return delivery

    async def next(self, timeout_s: float | None = None) -> RabbitDelivery | None:
        """Return the next delivery, or None after `timeout_s`; raises Unavailable when lost."""
        if self._lost and not self._buffer:
            raise Unavailable(LOST)
        try:
            async with asyncio.timeout(timeout_s):
                while not self._buffer:
                    await self._arrived.wait()
        except TimeoutError:
            return None
        if (delivery := self._pop()) is None:
            raise Unavailable(LOST)
        return delivery

    async def __aiter__(self) -> AsyncIterator[RabbitDelivery]:
        """Yield deliveries until the channel is lost."""
        while (delivery := await self.next()) is not None:
            yield delivery

    def ready(self) -> int:
        """Return how many deliveries can be had without waiting."""
        return len(self._buffer)

    async def close(self) -> None:
        """Stop consuming; what was not acknowledged goes to another consumer."""
        if not self._channel.is_closed:
            with mapped("closing a consumer"):
                async with asyncio.timeout(CLOSE_TIMEOUT_S):
                    await self._channel.close()
