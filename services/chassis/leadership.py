"""Leadership: one active, any number standing by, and an epoch that fences whoever was before."""

from __future__ import annotations

import asyncio
from contextlib import aclosing, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import structlog

from contracts.envelope import Draft, Lease
from contracts.events.control import LeaseAcquired
from services.chassis.errors import Conflict, Fenced, Refused, Unavailable
from services.chassis.strangers import Strangers
from services.chassis.supervision import Together

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable

    from services.chassis.folding import Folding
    from services.chassis.ports import Bus, Inbox
    from services.chassis.proposer import Accepted, Proposer

log = structlog.get_logger(__name__)

RETRY_S = 0.3
STALLED_S = 10.0


@dataclass
class Term:
    """One time of leading: its lease, where it was recorded, and whether it is over."""

    lease: Lease
    position: int
    lost: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def epoch(self) -> int:
        """The epoch that fences older leaders."""
        return self.lease.epoch


class Leadership:
    """Who consumes `<service>.lead` is active; the epoch it records makes that binding."""

    def __init__(
        self,
        bus: Bus,
        proposer: Proposer,
        service: str,
        holder: str,
        folding: Folding | None = None,
    ) -> None:
        self._bus, self._proposer, self._folding = bus, proposer, folding
        self._service, self._holder = service, holder
        self._strangers = Strangers(service)

    async def terms(self) -> AsyncGenerator[Term, None]:
        """Yield a term each time this process becomes the active one; go on when it is over."""
        while True:
            inbox: Inbox | None = None
            watch: asyncio.Task[None] | None = None
            try:
                inbox = await self._bus.consume(f"{self._service}.lead", prefetch=1)
                await self._chosen(inbox)
                accepted = await self._acquire()
                term = Term(Lease(self._service, accepted.versions[0]), accepted.position)
                log.info("leading", service=self._service, epoch=term.epoch)
                watch = asyncio.create_task(self._watch(inbox, term))
                yield term
            except (Unavailable, Refused) as error:
                log.info("not leading", service=self._service, because=error.detail)
                await asyncio.sleep(RETRY_S)
            finally:
                if watch is not None:
                    watch.cancel()
                if inbox is not None:
                    with suppress(Unavailable):
                        await inbox.close()

    async def _chosen(self, inbox: Inbox) -> None:
        """Return at the journal's first beacon: only the active one is given any."""
        async for delivery in inbox:
            await delivery.ack()
            if self._strangers.believes(delivery):
                return

    async def _acquire(self) -> Accepted:
        """Record the next epoch; whoever recorded one in between makes us try the one after."""
        known = 0
        while True:
            draft = Draft(
                f"lease/{self._service}",
                LeaseAcquired(name=self._service, epoch=known + 1, holder=self._holder),
                expected_version=known,
            )
            try:
                return await self._proposer.propose(draft)
            except Conflict as conflict:
                known = int(conflict.numbers["current"])

    async def _watch(self, inbox: Inbox, term: Term) -> None:
        """Keep the queue empty while leading; its loss ends the term."""
        try:
            with suppress(Unavailable):
                async for delivery in inbox:
                    self._strangers.believes(delivery)
                    await delivery.ack()
        finally:
            term.lost.set()


async def lead(
    leadership: Leadership, folding: Folding, act: Callable[[Term], Awaitable[None]]
) -> None:
    """Fold for ever, and act only while leading and only after folding the lease itself."""
    async with Together() as tasks:
        tasks.create_task(folding.run())
        tasks.create_task(_contend(leadership, folding, act))


async def _contend(
    leadership: Leadership, folding: Folding, act: Callable[[Term], Awaitable[None]]
) -> None:
    # Closed with us, so that the next one in line is chosen at once and not at some collection.
    async with aclosing(leadership.terms()) as terms:
        async for term in terms:
            try:
                await _serve(term, folding, act)
            except Fenced as fenced:
                log.warning("fenced", epoch=term.epoch, because=fenced.detail)
            except Unavailable as error:
                log.info("term over", epoch=term.epoch, because=error.detail)


async def _folded_up_to(term: Term, folding: Folding) -> None:
    """Return when the lease is folded; a long history may take its time while it goes on.

    Raises Unavailable when the fold stands still, or the term is lost meanwhile.
    """
    while folding.position < term.position:
        before = folding.position
        try:
            await folding.reach(term.position, timeout_s=STALLED_S)
        except Unavailable:
            if folding.position == before or term.lost.is_set():
                raise


async def _serve(term: Term, folding: Folding, act: Callable[[Term], Awaitable[None]]) -> None:
    await _folded_up_to(term, folding)
    acting = asyncio.ensure_future(act(term))
    losing = asyncio.create_task(term.lost.wait())
    try:
        await asyncio.wait({acting, losing}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        losing.cancel()
        acting.cancel()
        await asyncio.wait({acting})  # and not `await acting`: that would hide our own cancellation
    if not acting.cancelled():
        acting.result()
