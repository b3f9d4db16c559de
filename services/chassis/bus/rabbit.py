"""One service's two connections to RabbitMQ: one to publish, one to consume."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, unquote, urlsplit

import aio_pika
from aio_pika.connection import make_url

from services.chassis import wire
from services.chassis.bus.errors import mapped
from services.chassis.bus.inbox import CLOSE_TIMEOUT_S, RabbitInbox
from services.chassis.errors import Unavailable
from services.chassis.ids import uuid7
from services.chassis.ports import Message

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from aio_pika.abc import AbstractChannel, AbstractConnection, AbstractExchange

    from services.chassis.ports import Delivery

PUBLISH_TIMEOUT_S = 5.0
CONNECT_TIMEOUT_S = 5.0
CONSUME_TIMEOUT_S = 5.0
HEARTBEAT_S = 5  # the client would ask for 60: a frozen process would hold its queues for minutes
FOLLOWER_LIMIT_BYTES = 64 * 1024 * 1024
DEFAULT_EXCHANGE = ""


class _Link:
    """A connection that is made when first needed and made anew when it was lost."""

    def __init__(self, url: str, name: str) -> None:
        self._url, self._name = url, name
        given = parse_qs(urlsplit(url).query)
        self._asked: dict[str, Any] = {} if "heartbeat" in given else {"heartbeat": HEARTBEAT_S}
        self._connection: AbstractConnection | None = None
        self._making = asyncio.Lock()

    async def connection(self) -> AbstractConnection:
        async with self._making:
            # A connection that was lost does not call itself closed: only one we closed does.
            if self._connection is None or not self._connection.connected.is_set():
                await self.close()
                self._connection = await self._connected()
            return self._connection

    async def _connected(self) -> AbstractConnection:
        connection = aio_pika.Connection(
            make_url(self._url, **self._asked), client_properties={"connection_name": self._name}
        )
        try:
            await connection.connect(timeout=CONNECT_TIMEOUT_S)
        except BaseException:
            await connection.close()
            raise
        return connection

    async def channel(self, *, confirms: bool) -> AbstractChannel:
        return await (await self.connection()).channel(
            publisher_confirms=confirms, on_return_raises=confirms
        )

    async def close(self) -> None:
        """Close what there is, without waiting long for a broker that does not answer."""
        connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(Unavailable), mapped("closing"):
                async with asyncio.timeout(CLOSE_TIMEOUT_S):
                    await connection.close()


class RabbitBus:
    """The port `Bus` on RabbitMQ."""

    def __init__(self, service: str, url: str) -> None:
        self._service = service
        self._user = unquote(urlsplit(url).username or "guest")
        self._out, self._in = _Link(url, f"{service} out"), _Link(url, f"{service} in")
        self._publishing: AbstractChannel | None = None
        self._exchanges: dict[str, AbstractExchange] = {}
        self._opening = asyncio.Lock()
        self._reply_queue = ""
        self._reader: asyncio.Task[None] | None = None
        self._waiting: dict[str, asyncio.Future[tuple[Mapping[str, Any], bytes]]] = {}

    async def _exchange(self, name: str) -> AbstractExchange:
        async with self._opening:
            if self._publishing is None or self._publishing.is_closed:
                self._publishing = await self._out.channel(confirms=True)
                self._exchanges.clear()
            if name not in self._exchanges:
                channel = self._publishing
                self._exchanges[name] = (
                    channel.default_exchange
                    if name == DEFAULT_EXCHANGE
                    else await channel.get_exchange(name, ensure=False)
                )
            return self._exchanges[name]

    def _message(self, message: Message) -> aio_pika.Message:
        headers = dict(message.headers)
        if message.copies_to:
            headers["CC"] = list(message.copies_to)
        return aio_pika.Message(
            message.body,
            headers=headers,
            content_type="application/json",
            delivery_mode=aio_pika.DeliveryMode.PERSISTENT,
            message_id=message.message_id,
            correlation_id=message.correlation_id,
            reply_to=message.reply_to,
            expiration=message.expires_s,
            user_id=self._user,
        )

    async def publish(self, exchange: str, key: str, message: Message, *, mandatory: bool) -> None:
        """Return after the broker confirmed; Unavailable after 5 s or when unroutable."""
        with mapped(f"publishing to {exchange or 'the default exchange'}"):
            async with asyncio.timeout(PUBLISH_TIMEOUT_S):
                target = await self._exchange(exchange)
                out = self._message(message)
                if mandatory:
                    await target.publish(out, key, mandatory=True)
                else:
                    await target.publish(out, key, mandatory=False)

    @asynccontextmanager
    async def _consuming(self, doing: str) -> AsyncIterator[AbstractChannel]:
        """Yield a new channel; if it cannot be used, nothing of it may go on consuming."""
        with mapped(doing):
            async with asyncio.timeout(CONSUME_TIMEOUT_S):
                channel = await self._in.channel(confirms=False)
                try:
                    yield channel
                except BaseException:
                    await self._abandon(channel)
                    raise

    async def _abandon(self, channel: AbstractChannel) -> None:
        if channel.is_closed:
            return
        try:
            with mapped("closing a channel"):
                async with asyncio.timeout(CLOSE_TIMEOUT_S):
                    await channel.close()
        except Unavailable:
            await self._in.close()

    async def consume(self, queue: str, *, prefetch: int) -> RabbitInbox:
        """Consume a durable queue."""
        async with self._consuming(f"consuming {queue}") as channel:
            await channel.set_qos(prefetch_count=prefetch)
            inbox = RabbitInbox(channel, await channel.get_queue(queue, ensure=False))
            await inbox.start(no_ack=False)
            return inbox

    async def depth(self, queue: str) -> int:
        """Return how many messages of a durable queue are with no consumer."""
        async with self._consuming(f"counting {queue}") as channel:
            declared = await channel.declare_queue(queue, passive=True)
            count = declared.declaration_result.message_count or 0
            await channel.close()
            return count

    async def follow(self, service: str, *, keys: tuple[str, ...] = ("#",)) -> RabbitInbox:
        """Bind a new exclusive, bounded, drop-head queue to `qm.recorded` and consume it."""
        async with self._consuming("following qm.recorded") as channel:
            queue = await channel.declare_queue(
                f"{service}.{uuid7()}.recorded",
                exclusive=True,
                arguments={
                    "x-max-length-bytes": FOLLOWER_LIMIT_BYTES,
                    "x-overflow": "drop-head",
                },
            )
            for key in keys:
                await queue.bind("qm.recorded", routing_key=key)
            inbox = RabbitInbox(channel, queue, limit_bytes=FOLLOWER_LIMIT_BYTES)
            await inbox.start(no_ack=True)
            return inbox

    async def ask(
        self, exchange: str, key: str, body: bytes, *, timeout_s: float = 5.0
    ) -> tuple[Mapping[str, Any], bytes]:
        """Publish a question and return its answer's headers and body.

        A read that nobody waits for any more is forgotten; a proposal never is.
        """
        correlation_id = uuid7()
        answered: asyncio.Future[tuple[Mapping[str, Any], bytes]] = (
            asyncio.get_running_loop().create_future()
        )
        self._waiting[correlation_id] = answered
        try:
            with mapped("waiting for an answer"):
                async with asyncio.timeout(timeout_s):
                    reply_to = await self._listen()
                    question = Message(
                        body,
                        correlation_id=correlation_id,
                        reply_to=reply_to,
                        expires_s=None if exchange == wire.EXCHANGE_PROPOSED else timeout_s,
                    )
                    await self.publish(exchange, key, question, mandatory=True)
                    return await answered
        finally:
            self._waiting.pop(correlation_id, None)

    async def _listen(self) -> str:
        """Return the name of our own reply queue, declared anew after a lost connection."""
        async with self._opening:
            if self._reader is not None and not self._reader.done():
                return self._reply_queue
            async with self._consuming("listening for answers") as channel:
                queue = await channel.declare_queue(
                    f"{self._service}.{uuid7()}.replies", exclusive=True
                )
                inbox = RabbitInbox(channel, queue)
                await inbox.start(no_ack=True)
            self._reply_queue = queue.name
            self._reader = asyncio.create_task(self._read_replies(inbox))
            return self._reply_queue

    async def _read_replies(self, inbox: RabbitInbox) -> None:
        try:
            async for delivery in inbox:
                waiting = self._waiting.get(delivery.correlation_id or "")
                if waiting is not None and not waiting.done():
                    waiting.set_result((delivery.headers, delivery.body))
        except Unavailable as lost:
            for waiting in self._waiting.values():
                if not waiting.done():
                    waiting.set_exception(Unavailable(str(lost)))

    async def answer(self, to: Delivery, body: bytes, headers: Mapping[str, Any]) -> None:
        """Publish an answer to a delivery's `reply_to`; an asker that has gone is no error."""
        if to.reply_to:
            answer = Message(body, headers, correlation_id=to.correlation_id)
            await self.publish(DEFAULT_EXCHANGE, to.reply_to, answer, mandatory=False)

    async def close(self) -> None:
        """Close both connections."""
        if self._reader is not None:
            self._reader.cancel()
        for link in (self._out, self._in):
            await link.close()


async def connect(service: str, url: str) -> RabbitBus:
    """Return the bus of one service; raises Unavailable when the broker does not answer."""
    bus = RabbitBus(service, url)
    with mapped("connecting to RabbitMQ"):
        async with asyncio.timeout(CONNECT_TIMEOUT_S):
            await bus._out.connection()  # noqa: SLF001 (the first connection proves the URL)
    return bus
