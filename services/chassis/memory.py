"""The bus in memory: the same exchanges, queues and acknowledgements, for tests and simulation."""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from contracts.catalogue import LEADERS
from services.chassis import wire
from services.chassis.errors import Unavailable
from services.chassis.ids import uuid7
from services.chassis.ports import Message

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from services.chassis.ports import Delivery

DELIVERY_LIMIT = 100
FOLLOWER_LIMIT = 10_000


@dataclass
class _Letter:
    message: Message
    routing_key: str
    user_id: str
    deliveries: int = 0


@dataclass
class _Queue:
    name: str
    letters: deque[_Letter] = field(default_factory=deque)
    inboxes: list[MemoryInbox] = field(default_factory=list)
    single: bool = False
    max_length: int | None = None
    dead_letters: bool = False

    def put(self, letter: _Letter) -> None:
        self.letters.append(letter)
        if self.max_length is not None and len(self.letters) > self.max_length:
            self.letters.popleft()
        self.pump()

    def pump(self) -> None:
        """Hand letters to consumers with room; to the first one only where it is the single one."""
        for inbox in self.inboxes[:1] if self.single else list(self.inboxes):
            while self.letters and inbox.has_room():
                inbox.take(self.letters.popleft())


class MemoryDelivery:
    """One message as the memory broker delivered it."""

    def __init__(self, letter: _Letter, inbox: MemoryInbox) -> None:
        self.letter, self._inbox = letter, inbox
        self.body = letter.message.body
        self.headers: Mapping[str, Any] = letter.message.headers
        self.routing_key = letter.routing_key
        self.user_id: str | None = letter.user_id
        self.reply_to = letter.message.reply_to
        self.correlation_id = letter.message.correlation_id
        self.message_id = letter.message.message_id
        self.redelivered = letter.deliveries > 1

    async def ack(self, *, multiple: bool = False) -> None:
        """Say that this message (and all before it, if multiple) took effect."""
        self._inbox.settle(self, multiple=multiple)

    async def reject(self) -> None:
        """Send the message to the dead letters."""
        self._inbox.settle(self, multiple=False)
        self._inbox.park(self.letter)

    async def requeue(self) -> None:
        """Give the message back to its queue."""
        self._inbox.settle(self, multiple=False)
        self._inbox.give_back([self.letter])


class MemoryInbox:
    """A consumer of one memory queue."""

    def __init__(self, broker: MemoryBroker, queue: _Queue, prefetch: int, *, no_ack: bool) -> None:
        self._broker, self._queue = broker, queue
        self._prefetch, self._no_ack = prefetch, no_ack
        self._buffer: asyncio.Queue[MemoryDelivery | None] = asyncio.Queue()
        self._unsettled: list[MemoryDelivery] = []
        self.closed = False

    def has_room(self) -> bool:
        """Return whether another letter may be handed over."""
        held = self._buffer.qsize() if self._no_ack else len(self._unsettled)
        return not self.closed and held < self._prefetch

    def take(self, letter: _Letter) -> None:
        """Receive a letter."""
        letter.deliveries += 1
        delivery = MemoryDelivery(letter, self)
        if not self._no_ack:
            self._unsettled.append(delivery)
        self._buffer.put_nowait(delivery)

    def settle(self, delivery: MemoryDelivery, *, multiple: bool) -> None:
        """Forget a delivery, and all before it if multiple."""
        if self.closed or delivery not in self._unsettled:
            raise Unavailable("the queue's channel is closed")
        last = self._unsettled.index(delivery)
        del self._unsettled[0 if multiple else last : last + 1]
        self._queue.pump()

    def park(self, letter: _Letter) -> None:
        """Put a letter among the dead."""
        if self._queue.dead_letters:
            self._broker.queue(wire.QUEUE_PARKED).put(letter)

    def give_back(self, letters: list[_Letter]) -> None:
        """Put letters back at the head of the queue, or among the dead after too many tries."""
        for letter in reversed(letters):
            if letter.deliveries > DELIVERY_LIMIT:
                self.park(letter)
            else:
                self._queue.letters.appendleft(letter)
        self._queue.pump()

    async def next(self, timeout_s: float | None = None) -> MemoryDelivery | None:
        """Return the next delivery, or None after `timeout_s`; raises Unavailable when lost."""
        if self.closed and self._buffer.empty():
            raise Unavailable("the queue's channel is closed")
        try:
            async with asyncio.timeout(timeout_s):
                delivery = await self._buffer.get()
        except TimeoutError:
            return None
        if delivery is None:
            raise Unavailable("the queue's channel is closed")
        if self._no_ack:
            self._queue.pump()
        return delivery

    async def __aiter__(self) -> AsyncIterator[MemoryDelivery]:
        """Yield deliveries until the consumer is closed."""
        while (delivery := await self.next()) is not None:
            yield delivery

    def ready(self) -> int:
        """Return how many deliveries can be had without waiting."""
        return self._buffer.qsize()

    async def close(self) -> None:
        """Stop consuming; what was not acknowledged goes to another consumer."""
        self.lose()

    def lose(self) -> None:
        """Close as a lost connection would."""
        if self.closed:
            return
        self.closed = True
        self._queue.inboxes.remove(self)
        letters = [delivery.letter for delivery in self._unsettled]
        self._unsettled.clear()
        self._buffer.put_nowait(None)
        self.give_back(letters)


class MemoryBroker:
    """A broker in this process, with the topology of DESIGN section 4."""

    def __init__(self) -> None:
        self._queues: dict[str, _Queue] = {}
        self._bindings: dict[str, list[tuple[str, _Queue]]] = {}
        self.is_up = True
        self._declare(wire.QUEUE_PARKED, "qm.parked", "parked")
        self._declare(
            wire.QUEUE_PROPOSED, wire.EXCHANGE_PROPOSED, "proposal", single=True, dead_letters=True
        )
        self._declare(wire.QUEUE_JOURNAL, wire.EXCHANGE_JOURNAL, wire.QUEUE_JOURNAL)
        self._declare("vault.asked", wire.EXCHANGE_VAULT, "vault.asked")
        self._declare("scheduler.asked", wire.EXCHANGE_ASKED, "scheduler.asked")
        for service in LEADERS:
            self._declare(
                f"{service}.lead", wire.EXCHANGE_RECORDED, wire.BEACON, single=True, max_length=1
            )

    def _declare(self, name: str, exchange: str, key: str, **kind: Any) -> _Queue:
        queue = self._queues[name] = _Queue(name, **kind)
        self._bindings.setdefault(exchange, []).append((key, queue))
        return queue

    def queue(self, name: str) -> _Queue:
        """Return a queue by name; raises Unavailable when there is none."""
        if name not in self._queues:
            raise Unavailable(f"there is no queue {name}")
        return self._queues[name]

    def depth(self, name: str) -> int:
        """Return how many messages wait in a queue."""
        return len(self.queue(name).letters)

    def new_follower(self, name: str, keys: tuple[str, ...]) -> _Queue:
        """Declare a follower's queue."""
        queue = self._queues[name] = _Queue(name, max_length=FOLLOWER_LIMIT)
        for key in keys:
            self._bindings.setdefault(wire.EXCHANGE_RECORDED, []).append((key, queue))
        return queue

    def new_queue(self, name: str) -> _Queue:
        """Declare an exclusive queue that only the default exchange reaches."""
        queue = self._queues[name] = _Queue(name)
        return queue

    def drop(self, queue: _Queue) -> None:
        """Delete an exclusive queue with its bindings."""
        self._queues.pop(queue.name, None)
        for bindings in self._bindings.values():
            bindings[:] = [(key, bound) for key, bound in bindings if bound is not queue]

    def route(self, exchange: str, key: str, letter: _Letter) -> int:
        """Put a letter into every queue that wants it, once each; return how many did."""
        if exchange == "":
            targets = [self._queues[key]] if key in self._queues else []
        else:
            keys = {key, *letter.message.copies_to}
            bound = self._bindings.get(exchange, ())
            targets = [queue for want, queue in bound if want == "#" or want in keys]
        unique = {queue.name: queue for queue in targets}
        for queue in unique.values():
            queue.put(_Letter(letter.message, letter.routing_key, letter.user_id))
        return len(unique)

    def bus(self, service: str) -> MemoryBus:
        """Return the bus of one service."""
        return MemoryBus(self, service)


class MemoryBus:
    """The port `Bus` in memory."""

    def __init__(self, broker: MemoryBroker, service: str) -> None:
        self._broker, self._service = broker, service
        self._own: list[tuple[_Queue, MemoryInbox]] = []
        self._inboxes: list[MemoryInbox] = []
        self._reply_queue = ""
        self._reader: asyncio.Task[None] | None = None
        self._waiting: dict[str, asyncio.Future[tuple[Mapping[str, Any], bytes]]] = {}

    def _up(self) -> None:
        if not self._broker.is_up:
            raise Unavailable("the broker does not answer")

    async def publish(self, exchange: str, key: str, message: Message, *, mandatory: bool) -> None:
        """Route a message; Unavailable when it is mandatory and nobody is bound."""
        self._up()
        reached = self._broker.route(exchange, key, _Letter(message, key, self._service))
        if mandatory and not reached:
            raise Unavailable(f"publishing to {exchange}: nobody is bound to receive it")
        await asyncio.sleep(0)

    def _inbox(self, queue: _Queue, prefetch: int, *, no_ack: bool) -> MemoryInbox:
        inbox = MemoryInbox(self._broker, queue, prefetch, no_ack=no_ack)
        queue.inboxes.append(inbox)
        self._inboxes.append(inbox)
        queue.pump()
        return inbox

    async def consume(self, queue: str, *, prefetch: int) -> MemoryInbox:
        """Consume a durable queue."""
        self._up()
        return self._inbox(self._broker.queue(queue), prefetch, no_ack=False)

    async def depth(self, queue: str) -> int:
        """Return how many messages of a durable queue are with no consumer."""
        self._up()
        return self._broker.depth(queue)

    async def follow(self, service: str, *, keys: tuple[str, ...] = ("#",)) -> MemoryInbox:
        """Consume a new bounded queue bound to `qm.recorded`."""
        self._up()
        queue = self._broker.new_follower(f"{service}.{uuid7()}.recorded", keys)
        inbox = self._inbox(queue, FOLLOWER_LIMIT, no_ack=True)
        self._own.append((queue, inbox))
        return inbox

    async def ask(
        self, exchange: str, key: str, body: bytes, *, timeout_s: float = 5.0
    ) -> tuple[Mapping[str, Any], bytes]:
        """Publish a question and return its answer's headers and body."""
        correlation_id = uuid7()
        waiting: asyncio.Future[tuple[Mapping[str, Any], bytes]] = (
            asyncio.get_running_loop().create_future()
        )
        self._waiting[correlation_id] = waiting
        try:
            async with asyncio.timeout(timeout_s):
                question = Message(body, correlation_id=correlation_id, reply_to=self._listen())
                await self.publish(exchange, key, question, mandatory=True)
                return await waiting
        except TimeoutError as error:
            raise Unavailable("waiting for an answer: none came in time") from error
        finally:
            self._waiting.pop(correlation_id, None)

    def _listen(self) -> str:
        if self._reader is None or self._reader.done():
            queue = self._broker.new_queue(f"{self._service}.{uuid7()}.replies")
            inbox = self._inbox(queue, FOLLOWER_LIMIT, no_ack=True)
            self._own.append((queue, inbox))
            self._reply_queue = queue.name
            self._reader = asyncio.create_task(self._read_replies(inbox))
        return self._reply_queue

    async def _read_replies(self, inbox: MemoryInbox) -> None:
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
            await self.publish("", to.reply_to, answer, mandatory=False)

    def cut(self) -> None:
        """Lose the connection: every consumer of this service ends, its own queues are gone."""
        for inbox in self._inboxes:
            inbox.lose()
        self._inboxes.clear()
        for queue, _ in self._own:
            self._broker.drop(queue)
        self._own.clear()

    async def close(self) -> None:
        """Close as a service does when it ends."""
        if self._reader is not None:
            self._reader.cancel()
        self.cut()
