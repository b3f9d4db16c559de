"""The exchanges and durable queues of Quartermaster, declared by one factory."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, cast

from faststream.rabbit import (
    Channel,
    ExchangeType,
    QueueType,
    RabbitBroker,
    RabbitExchange,
    RabbitQueue,
)

from contracts.catalogue import LEADERS
from services.chassis import wire
from services.chassis.bus.errors import mapped

if TYPE_CHECKING:
    from faststream.rabbit.schemas.queue import QuorumQueueArgs

PARKED_DEAD_LETTERS = "qm.parked"
DELIVERY_LIMIT = 100
DECLARE_TIMEOUT_S = 30.0


def durable(name: str, *, dead_letters: bool = True, **arguments: Any) -> RabbitQueue:
    """Return a durable quorum queue with an explicit delivery limit.

    Dead letters go to `qm.parked`, at least once: a queue refuses a publisher rather than lose.
    """
    parking = {
        "x-dead-letter-exchange": PARKED_DEAD_LETTERS,
        "x-dead-letter-routing-key": "parked",
        "x-dead-letter-strategy": "at-least-once",
        "x-overflow": "reject-publish",
    }
    asked: dict[str, Any] = {"x-delivery-limit": DELIVERY_LIMIT, **arguments}
    if dead_letters:
        asked |= parking
    return RabbitQueue(
        name,
        queue_type=QueueType.QUORUM,
        durable=True,
        arguments=cast("QuorumQueueArgs", asked),
    )


def _exchange(name: str, kind: ExchangeType) -> RabbitExchange:
    return RabbitExchange(name, type=kind, durable=True)


_SINGLE = {"x-single-active-consumer": True}

# queue, the exchange it hangs on, routing key
TOPOLOGY: tuple[tuple[RabbitQueue, RabbitExchange, str], ...] = (
    (
        # Every look at a parked message is a delivery of it: the limit must not throw it away.
        durable(wire.QUEUE_PARKED, dead_letters=False, **{"x-delivery-limit": 1_000_000}),
        _exchange("qm.parked", ExchangeType.DIRECT),
        "parked",
    ),
    (
        durable(wire.QUEUE_PROPOSED, **_SINGLE),
        _exchange(wire.EXCHANGE_PROPOSED, ExchangeType.DIRECT),
        "proposal",
    ),
    (
        durable(wire.QUEUE_JOURNAL, dead_letters=False),
        _exchange(wire.EXCHANGE_JOURNAL, ExchangeType.DIRECT),
        wire.QUEUE_JOURNAL,
    ),
    (
        durable("vault.asked", dead_letters=False),
        _exchange(wire.EXCHANGE_VAULT, ExchangeType.DIRECT),
        "vault.asked",
    ),
    (
        durable("scheduler.asked", dead_letters=False),
        _exchange(wire.EXCHANGE_ASKED, ExchangeType.DIRECT),
        "scheduler.asked",
    ),
    *(
        (
            durable(f"{service}.lead", dead_letters=False, **_SINGLE, **{"x-max-length": 1}),
            _exchange(wire.EXCHANGE_RECORDED, ExchangeType.TOPIC),
            wire.BEACON,
        )
        for service in LEADERS
    ),
)


async def declare(url: str) -> None:
    """Declare everything durable; repeating it changes nothing.

    Raises Unavailable when the broker does not answer.
    """
    broker = RabbitBroker(url, logger=None, fail_fast=True, default_channel=Channel())
    with mapped("declaring the topology"):
        try:
            async with asyncio.timeout(DECLARE_TIMEOUT_S):
                await broker.connect()
                for queue, exchange, key in TOPOLOGY:
                    declared = await broker.declare_exchange(exchange)
                    await (await broker.declare_queue(queue)).bind(declared, routing_key=key)
        finally:
            await broker.stop()
