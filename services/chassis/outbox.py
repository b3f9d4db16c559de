"""Proposals on their way out: what arrives while messages are in flight goes into the next one."""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import orjson
import structlog

from services.chassis import wire
from services.chassis.errors import Bug, QuartermasterError, Refused, Unavailable

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from contracts.envelope import Proposal
    from services.chassis.clock import Clock
    from services.chassis.ports import Bus

log = structlog.get_logger(__name__)

IN_FLIGHT = 2
# A message of 1 MiB passes a quorum queue in 8 ms, one of 8 MiB in 45 ms (2 cores, median of 5):
# more at once gains little, and what comes behind it on the connection waits as long.
MESSAGE_PROPOSALS, MESSAGE_BYTES = 500, 1024 * 1024
# A proposal is judged whole, so it goes in one message however large it is. RabbitMQ 4 takes 16 MiB
# (max_message_size) and answers more by closing the channel, under all that is in flight there:
# repeating such a proposal would never end, and cost everybody else a channel each time.
PROPOSAL_BYTES = 8 * 1024 * 1024
RETRY_S = 0.25


@dataclass(slots=True)
class _Parcel:
    proposals: Sequence[bytes]
    results: asyncio.Future[list[dict[str, Any]]]


class Outbox:
    """Sends proposals and returns the journal's results; a message is repeated with its ids.

    Batching is worth 7 to 24 times the throughput of single messages (STACK, section 4), and
    costs a lone proposal nothing: it leaves at once.
    """

    def __init__(self, bus: Bus, service: str, clock: Clock, patience_s: float) -> None:
        self._bus, self._service, self._clock = bus, service, clock
        self._patience_s = patience_s
        self._waiting: deque[_Parcel] = deque()
        self._in_flight: set[asyncio.Task[None]] = set()

    async def send(self, proposals: Sequence[Proposal]) -> list[dict[str, Any]]:
        """Return a result for each proposal; raises Unavailable after `patience_s` of trying.

        What does not fit one message goes in several, each after the answer to the one before, so
        that nothing is judged ahead of what came first. Raises Refused when one cannot be sent.
        """
        encoded = [encode(proposal) for proposal in proposals]
        results: list[dict[str, Any]] = []
        for part in fitting(encoded):
            parcel = _Parcel(part, asyncio.get_running_loop().create_future())
            self._waiting.append(parcel)
            self._fill()
            results += await parcel.results
        return results

    def _fill(self) -> None:
        while self._waiting and len(self._in_flight) < IN_FLIGHT:
            delivering = asyncio.create_task(self._deliver(self._next_message()))
            self._in_flight.add(delivering)
            delivering.add_done_callback(self._delivered)

    def _delivered(self, task: asyncio.Task[None]) -> None:
        self._in_flight.discard(task)
        self._fill()

    def _next_message(self) -> list[_Parcel]:
        parcels = [self._waiting.popleft()]
        count, size = len(parcels[0].proposals), _size(parcels[0])
        while self._waiting:
            count += len(self._waiting[0].proposals)
            size += _size(self._waiting[0])
            if count > MESSAGE_PROPOSALS or size > MESSAGE_BYTES:
                break
            parcels.append(self._waiting.popleft())
        return parcels

    async def _deliver(self, parcels: list[_Parcel]) -> None:
        proposals = [proposal for parcel in parcels for proposal in parcel.proposals]
        try:
            answer = await self._until_answered(wire.encode_proposals(proposals))
            results = iter(_results(answer, len(proposals)))
            for parcel in parcels:
                mine = [next(results) for _ in parcel.proposals]
                if not parcel.results.done():
                    parcel.results.set_result(mine)
        except QuartermasterError as error:
            for parcel in parcels:
                if not parcel.results.done():
                    parcel.results.set_exception(error)

    async def _until_answered(self, body: bytes) -> bytes:
        deadline = self._clock.monotonic() + self._patience_s
        while True:
            try:
                _, answer = await self._bus.ask(wire.EXCHANGE_PROPOSED, "proposal", body)
            except Unavailable as error:
                if self._clock.monotonic() >= deadline:
                    raise
                log.info("proposing again", service=self._service, because=error.detail)
                await self._clock.sleep(RETRY_S)
            else:
                return answer


def encode(proposal: Proposal) -> bytes:
    """Return a proposal as bytes; raises Refused when it is no JSON or no broker would take it."""
    encoded = wire.encode_proposal(proposal)
    if len(encoded) > PROPOSAL_BYTES:
        raise Refused(f"a proposal of {len(encoded)} bytes, at most {PROPOSAL_BYTES} are sent")
    return encoded


def fitting(proposals: Iterable[bytes]) -> Iterator[list[bytes]]:
    """Cut proposals, in order, into what fits one message; a large one has its own."""
    part: list[bytes] = []
    size = 0
    for proposal in proposals:
        size += len(proposal)
        if part and (len(part) == MESSAGE_PROPOSALS or size > MESSAGE_BYTES):
            yield part
            part, size = [], len(proposal)
        part.append(proposal)
    if part:
        yield part


def _size(parcel: _Parcel) -> int:
    return sum(len(proposal) for proposal in parcel.proposals)


def _results(answer: bytes, count: int) -> list[dict[str, Any]]:
    """Return the journal's results; raises Bug when they are not one for each proposal."""
    try:
        results: list[dict[str, Any]] = orjson.loads(answer)["results"]
    except (orjson.JSONDecodeError, KeyError, TypeError) as error:
        raise Bug("the journal's answer cannot be read") from error
    if len(results) != count:
        raise Bug(f"the journal gave {len(results)} results for {count} proposals")
    return results
