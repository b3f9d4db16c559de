"""Passive declares over AMQP: how many messages are ready in a queue, at this very moment."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field

import aio_pika
from aio_pika.abc import AbstractChannel, AbstractConnection
from aio_pika.exceptions import (
    AMQPError,
    ChannelClosed,
    ChannelNotFoundEntity,
    ProbableAuthenticationError,
)

from contracts.types import QueueAddress
from services.chassis.clock import Clock
from services.chassis.errors import QuartermasterError
from services.chassis.supervision import ending_only_when_told
from services.chassis.targets import AllowList
from services.queue_sampler.state import Connection, Failure, Probe, connection_of

FIRST_BACK_OFF_S, LONGEST_BACK_OFF_S = 1.0, 60.0
HEARTBEAT_S = 10
_LOST = (AMQPError, OSError, RuntimeError, TimeoutError, asyncio.InvalidStateError)


@dataclass
class _Broker:
    """One connection to a broker as one user, and when to try again after it was lost."""

    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    connection: AbstractConnection | None = None
    channel: AbstractChannel | None = None
    failures: int = 0
    retry_at: float = 0.0
    last: Failure = field(default_factory=lambda: Failure("unreachable", "not connected yet"))

    async def close(self) -> None:
        connection, self.connection, self.channel = self.connection, None, None
        if connection is not None:
            with suppress(*_LOST):
                await connection.close()


class PassiveDeclare:
    """Probes queues, over one connection for each broker, user and virtual host."""

    def __init__(self, networks: AllowList, clock: Clock, *, timeout_s: float) -> None:
        self._networks, self._clock, self._timeout_s = networks, clock, timeout_s
        self._brokers: dict[Connection, _Broker] = {}

    async def probe(self, address: QueueAddress, password: str) -> Probe | Failure:
        """Return the ready messages of a queue; a lost broker is tried again with back-off."""
        broker = self._brokers.setdefault(connection_of(address), _Broker())
        async with broker.lock:
            if broker.connection is None and self._clock.monotonic() < broker.retry_at:
                return broker.last
            try:
                with ending_only_when_told("probing"):
                    async with asyncio.timeout(self._timeout_s):
                        return await self._declare(broker, address, password)
            except ChannelClosed as error:
                broker.channel = None  # the broker closes the channel that asked in vain
                missing = isinstance(error, ChannelNotFoundEntity)
                return Failure("not_found" if missing else "bad_answer", str(error))
            except ValueError as error:
                # The library knows fewer names than the broker: this queue lives by its samples.
                return Failure("bad_answer", f"AMQP cannot ask for this name: {error}")
            except (*_LOST, QuartermasterError) as error:
                return await self._lost(broker, error)

    async def keep_only(self, addresses: Iterable[QueueAddress]) -> None:
        """Close the connections that no queue needs any more."""
        wanted = {connection_of(address) for address in addresses}
        for unused in [known for known in self._brokers if known not in wanted]:
            await self._brokers.pop(unused).close()

    async def close(self) -> None:
        """Close every connection."""
        await self.keep_only(())

    async def _declare(self, broker: _Broker, address: QueueAddress, password: str) -> Probe:
        if broker.connection is None or broker.connection.is_closed:
            broker.channel = None
            broker.connection = await self._connect(address, password)
            broker.failures = 0
        if broker.channel is None or broker.channel.is_closed:
            broker.channel = await broker.connection.channel(publisher_confirms=False)
        queue = await broker.channel.declare_queue(address.name, passive=True)
        told = queue.declaration_result
        return Probe(told.message_count or 0, told.consumer_count or 0)

    async def _connect(self, address: QueueAddress, password: str) -> AbstractConnection:
        tried = await self._networks.addresses(address.host)
        for number, ip in enumerate(tried, 1):
            try:
                return await aio_pika.connect(
                    host=ip,
                    port=address.amqp_port,
                    login=address.username,
                    password=password,
                    virtualhost=address.vhost,
                    heartbeat=HEARTBEAT_S,
                )
            except OSError:
                if number == len(tried):
                    raise
        raise OSError(f"{address.host} has no address")

    async def _lost(self, broker: _Broker, error: Exception) -> Failure:
        await broker.close()
        wait_s = min(FIRST_BACK_OFF_S * 2**broker.failures, LONGEST_BACK_OFF_S)
        broker.failures = min(broker.failures + 1, 10)
        broker.retry_at = self._clock.monotonic() + wait_s
        refused = isinstance(error, ProbableAuthenticationError)
        broker.last = Failure("unauthorized" if refused else "unreachable", repr(error))
        return broker.last
