"""Propose events to the journal: wait for the verdict, or hand over and go on."""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any

import structlog

from contracts.envelope import Draft, Lease, Proposal, Proposed
from services.chassis import spans, wire
from services.chassis.errors import Bug, Conflict, Fenced, QuartermasterError, Refused, Unavailable
from services.chassis.ids import uuid7
from services.chassis.outbox import MESSAGE_PROPOSALS, Outbox, encode, fitting
from services.chassis.ports import Message

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from services.chassis.clock import Clock
    from services.chassis.ports import Bus

log = structlog.get_logger(__name__)

PATIENCE_S = 30.0
RETRY_S = 0.25
BUFFER_EVENTS = 20_000


@dataclass(frozen=True, slots=True)
class Accepted:
    """A proposal is recorded: the last position, and position and version of each event."""

    position: int
    positions: tuple[int, ...]
    versions: tuple[int, ...]
    event_ids: tuple[str, ...]
    duplicate: bool = False


class Proposer:
    """One service's voice. Repeating a proposal repeats its ids, so nothing takes effect twice."""

    def __init__(
        self,
        bus: Bus,
        service: str,
        clock: Clock,
        *,
        actor: str | None = None,
        patience_s: float = PATIENCE_S,
    ) -> None:
        self._bus, self._service, self._clock = bus, service, clock
        self._actor = actor or service
        self._outbox = Outbox(bus, service, clock, patience_s)
        self._offered: deque[bytes] = deque()
        self._flushing: asyncio.Task[None] | None = None

    async def propose(
        self,
        *drafts: Draft,
        lease: Lease | None = None,
        event_ids: Sequence[str] | None = None,
        actor: str | None = None,
    ) -> Accepted:
        """Return where the events were recorded, all together.

        Raises Refused, Conflict (`numbers`: stream, current), Fenced, or Unavailable after
        `patience_s` of trying.
        """
        with spans.proposing((drafts,)) as spanned:
            proposal = self._proposal(drafts, lease, event_ids, actor, trace=spanned.trace(0))
            verdict = (await self._send((proposal,)))[0]
            spanned.settle((verdict,))
        if isinstance(verdict, QuartermasterError):
            raise verdict
        return verdict

    async def propose_all(
        self, proposals: Sequence[Sequence[Draft]], lease: Lease | None = None
    ) -> list[Accepted | QuartermasterError]:
        """Return a verdict for each proposal; each is recorded whole or not at all.

        Those of one message are judged together; it takes several where they are many or large.
        """
        if not proposals:
            return []
        with spans.proposing(proposals) as spanned:
            verdicts = await self._send(
                [
                    self._proposal(drafts, lease, trace=spanned.trace(number))
                    for number, drafts in enumerate(proposals)
                ]
            )
            spanned.settle(verdicts)
            return verdicts

    def offer(self, *drafts: Draft) -> None:
        """Hand over telemetry, each event its own proposal, and go on.

        Raises Unavailable when too much waits already, Refused when one cannot be sent.
        """
        if len(self._offered) + len(drafts) > BUFFER_EVENTS:
            raise Unavailable(f"{BUFFER_EVENTS} offered events wait for the broker")
        proposals = [self._proposal((draft,), None) for draft in drafts]
        self._offered.extend([encode(proposal) for proposal in proposals])
        if self._flushing is None or self._flushing.done():
            self._flushing = asyncio.create_task(self._flush())

    async def flush(self) -> None:
        """Return when everything offered was confirmed by the broker."""
        while self._flushing is not None and not self._flushing.done():
            await asyncio.shield(self._flushing)

    def _proposal(
        self,
        drafts: Sequence[Draft],
        lease: Lease | None,
        event_ids: Sequence[str] | None = None,
        actor: str | None = None,
        *,
        trace: str | None = None,
    ) -> Proposal:
        now = self._clock.now()
        ids = event_ids or [uuid7() for _ in drafts]
        first = _first_of_chain(drafts, ids)
        events = tuple(
            Proposed(
                event_id=event_id,
                stream=draft.stream,
                type=draft.event.type,
                schema_version=draft.event.schema_version,
                data=draft.event.model_dump(mode="json"),
                occurred_at=now,
                actor=actor or self._actor,
                expected_version=draft.expected_version,
                causation_id=draft.causation_id,
                correlation_id=draft.correlation_id if draft.causation_id else first,
                trace=trace,
            )
            for event_id, draft in zip(ids, drafts, strict=True)
        )
        return Proposal(events, lease)

    async def _send(self, proposals: Sequence[Proposal]) -> list[Accepted | QuartermasterError]:
        results = await self._outbox.send(proposals)
        return [
            verdict_of(result, proposal)
            for result, proposal in zip(results, proposals, strict=True)
        ]

    async def _flush(self) -> None:
        while self._offered:
            batch = next(fitting(islice(self._offered, MESSAGE_PROPOSALS)))
            message = Message(wire.encode_proposals(batch))
            try:
                await self._bus.publish(wire.EXCHANGE_PROPOSED, "proposal", message, mandatory=True)
            except (Unavailable, Refused) as error:
                log.info("offering again", service=self._service, because=error.detail)
                await self._clock.sleep(RETRY_S)
                continue
            for _ in batch:
                self._offered.popleft()


def _first_of_chain(drafts: Sequence[Draft], ids: Sequence[str]) -> str | None:
    """Return what the events that nothing led to have in common: the first of them.

    One alone needs no such mark, its own id says the same; telemetry stays as small as it is.
    """
    first = [id_ for draft, id_ in zip(drafts, ids, strict=True) if draft.causation_id is None]
    return first[0] if len(first) > 1 else None


_CLASSES: dict[str, type[QuartermasterError]] = {
    "conflict": Conflict,
    "fenced": Fenced,
    "unavailable": Unavailable,
    "bug": Bug,
}


def verdict_of(result: Mapping[str, Any], proposal: Proposal) -> Accepted | QuartermasterError:
    """Return the journal's verdict on a proposal as a value of our own tree."""
    if result["verdict"] == "recorded":
        return Accepted(
            position=max(result["positions"]),
            positions=tuple(result["positions"]),
            versions=tuple(result["versions"]),
            event_ids=tuple(event.event_id for event in proposal.events),
            duplicate=result["duplicate"],
        )
    numbers = {**result.get("numbers", {}), "refusal": result["code"]}
    return _CLASSES.get(result["code"], Refused)(result["detail"], **numbers)
