"""A consumer on a channel of its own: deliveries in order, until the channel is lost."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from services.chassis.bus.errors import mapped
from services.chassis.errors import Unavailable

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from aio_pika.abc import AbstractChannel, AbstractIncomingMessage, AbstractQueue


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
    """Deliveries of one queue; None in the buffer says that the channel is gone."""

    def __init__(self, channel: AbstractChannel, queue: AbstractQueue) -> None:
        self._channel = channel
        self._queue = queue
        self._buffer: asyncio.Queue[RabbitDelivery | None] = asyncio.Queue()
        self._lost = False

    async def start(self, *, no_ack: bool) -> None:
        """Begin to consume."""
        self._channel.close_callbacks.add(self._on_lost)
        underlay = await self._channel.get_underlay_channel()
        underlay.on_consumer_cancel_callbacks.add(self._on_cancelled)
        await self._queue.consume(self._on_message, no_ack=no_ack)

    async def _on_message(self, message: AbstractIncomingMessage) -> None:
        self._buffer.put_nowait(RabbitDelivery(message))

    def _on_lost(self, *_: object) -> None:
        self._buffer.put_nowait(None)

    async def _on_cancelled(self, *_: object) -> None:
        self._buffer.put_nowait(None)

    async def next(self, timeout_s: float | None = None) -> RabbitDelivery | None:
        """Return the next delivery, or None after `timeout_s`; raises Unavailable when lost."""
        if self._buffer.empty() and self._lost:
            raise Unavailable("the queue's channel is closed")
        try:
            async with asyncio.timeout(timeout_s):
                delivery = await self._buffer.get()
        except TimeoutError:
            return None
        if delivery is None:
            self._lost = True
            raise Unavailable("the queue's channel is closed")
        return delivery

    async def __aiter__(self) -> AsyncIterator[RabbitDelivery]:
        """Yield deliveries until the channel is lost."""
        while (delivery := await self.next()) is not None:
            yield delivery

    def ready(self) -> int:
        """Return how many deliveries can be had without waiting."""
        return self._buffer.qsize()

    async def close(self) -> None:
        """Stop consuming; what was not acknowledged goes to another consumer."""
        if not self._channel.is_closed:
            with mapped("closing a consumer"):
                await self._channel.close()
