"""The ports of the chassis: what a bus must do, whether RabbitMQ or memory stands behind it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping


@dataclass(frozen=True, slots=True)
class Message:
    """What is sent: bytes, headers, and where an answer should go."""

    body: bytes
    headers: Mapping[str, Any] = field(default_factory=dict)
    message_id: str | None = None
    correlation_id: str | None = None
    reply_to: str | None = None
    copies_to: tuple[str, ...] = ()
    expires_s: float | None = None


class Delivery(Protocol):
    """What arrives: a message, who sent it as the broker checked it, and its acknowledgement."""

    body: bytes
    headers: Mapping[str, Any]
    routing_key: str
    user_id: str | None
    reply_to: str | None
    correlation_id: str | None
    message_id: str | None
    redelivered: bool

    async def ack(self, *, multiple: bool = False) -> None:
        """Say that this message (and all before it, if multiple) took effect."""

    async def reject(self) -> None:
        """Say that this message can never work: it goes to its queue's dead letters."""

    async def requeue(self) -> None:
        """Give the message back."""


class Inbox(Protocol):
    """A running consumer; iterate it for deliveries, close it to stop.

    Iteration ends with Unavailable when the connection or its queue is lost.
    """

    def __aiter__(self) -> AsyncIterator[Delivery]:
        """Yield deliveries in the queue's order."""

    async def next(self, timeout_s: float | None = None) -> Delivery | None:
        """Return the next delivery, or None after `timeout_s`."""

    def ready(self) -> int:
        """Return how many deliveries can be had without waiting."""

    async def close(self) -> None:
        """Stop consuming; what was not acknowledged is delivered to another."""


class Bus(Protocol):
    """Exchanges and queues of DESIGN section 4, with confirms and time-outs inside.

    Every method raises Unavailable when the broker does not answer.
    """

    async def publish(self, exchange: str, key: str, message: Message, *, mandatory: bool) -> None:
        """Return after the broker confirmed; Unavailable after 5 s or when unroutable."""

    async def consume(self, queue: str, *, prefetch: int) -> Inbox:
        """Consume a durable queue."""

    async def depth(self, queue: str) -> int:
        """Return how many messages of a durable queue are with no consumer."""

    async def follow(self, service: str, *, keys: tuple[str, ...] = ("#",)) -> Inbox:
        """Consume a new exclusive, bounded, drop-head queue on `qm.recorded`, without acks."""

    async def ask(
        self, exchange: str, key: str, body: bytes, *, timeout_s: float = 5.0
    ) -> tuple[Mapping[str, Any], bytes]:
        """Publish a question and return its answer's headers and body."""

    async def answer(self, to: Delivery, body: bytes, headers: Mapping[str, Any]) -> None:
        """Publish an answer to a delivery's `reply_to`; an asker that has gone is no error."""

    async def close(self) -> None:
        """Close both connections."""
