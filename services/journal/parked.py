"""What is parked: looked at, tried again, dropped; until then it stays with the broker.

A look takes every message and gives it back, so it costs each one delivery. Only an admin's word
takes one away, and that is recorded first: a message is never gone without a fact that says so.
"""

from __future__ import annotations

import asyncio
import hashlib
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import orjson
import structlog
from pydantic import BaseModel, StringConstraints

from contracts.events.control import ParkedDropped, ParkedRetried
from services.chassis import wire
from services.chassis.errors import NotFound, Refused, Unavailable
from services.chassis.ids import uuid7
from services.journal.validate import Unreadable, proposals_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
    from datetime import datetime

    from services.chassis.clock import Clock
    from services.chassis.ports import Bus, Delivery

    Results = list[dict[str, Any]]
    Attempt = Callable[[bytes, str | None], Awaitable[Results]]

log = structlog.get_logger(__name__)

OPERATIONS = frozenset({"parked.list", "parked.show", "parked.retry", "parked.drop"})
ASKERS = frozenset({"gateway"})
JOURNAL = "journal"  # under this name; what it parked itself says for whom
MOST = 500  # the oldest; those behind them come into sight as these go
FIRST_S, NEXT_S = 0.5, 0.2  # so long nothing comes: that was all
LOOKS, AGAIN_S = 3, 0.4  # another journal may hold what we look for at this moment
SHOWN_BYTES = 128 * 1024

_Id = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{16}$")]
_Actor = Annotated[str, StringConstraints(min_length=1, max_length=256)]
_Because = Annotated[str, StringConstraints(min_length=1, max_length=1000, pattern=r"^[^\x00]+$")]


class Which(BaseModel):
    """`{op: parked.show, id}`."""

    id: _Id


class Retry(Which):
    """`{op: parked.retry, id, actor}`."""

    actor: _Actor


class Drop(Retry):
    """`{op: parked.drop, id, actor, because}`."""

    because: _Because


@dataclass(frozen=True, slots=True)
class Letter:
    """One parked message; proposer: as the broker checked it when the message was first sent."""

    delivery: Delivery
    id: str
    digest: str
    proposer: str
    reason: str
    detail: str
    parked_at: str | None
    proposals: list[Any] | None

    @property
    def events(self) -> list[Mapping[str, Any]]:
        """The events it would have recorded, as far as it can be read."""
        found = [each.get("events") for each in self.proposals or () if isinstance(each, dict)]
        return [event for events in found for event in events or () if isinstance(event, dict)]

    def summary(self) -> dict[str, Any]:
        """Return what it is, without what it says."""
        return {
            "id": self.id,
            "reason": self.reason,
            "detail": self.detail,
            "proposer": self.proposer,
            "parked_at": self.parked_at,
            "bytes": len(self.delivery.body),
            "events": len(self.events),
            "types": sorted({str(event.get("type")) for event in self.events}),
            "streams": sorted({str(event.get("stream")) for event in self.events}),
        }

    def whole(self) -> dict[str, Any]:
        """Return all of it; as text, cut at a length, where it cannot be read or is long."""
        body = self.delivery.body
        is_told = self.proposals is not None and len(body) <= SHOWN_BYTES
        text = None if is_told else body[:SHOWN_BYTES].decode("utf-8", "replace")
        told = self.proposals if is_told else None
        return {**self.summary(), "digest": self.digest, "proposals": told, "text": text}


def letter_of(delivery: Delivery) -> Letter:
    """Return what a parked message is, whoever parked it: the journal, or the broker itself."""
    headers, digest = delivery.headers, hashlib.sha256(delivery.body).hexdigest()
    if delivery.user_id == JOURNAL:
        said = {name: str(headers.get(name) or "") for name in ("reason", "detail", "proposer")}
        parked_at = str(headers["parked_at"]) if headers.get("parked_at") else None
    else:
        said, parked_at = _dead(delivery)
    try:
        proposals = proposals_of(delivery.body)
    except Unreadable:
        proposals = None
    seed = f"{digest} {delivery.message_id} {said['proposer']} {parked_at}".encode()
    id_ = hashlib.sha256(seed).hexdigest()[:16]
    return Letter(delivery, id_, digest, **said, parked_at=parked_at, proposals=proposals)


def _dead(delivery: Delivery) -> tuple[dict[str, str], str | None]:
    """Return why and when the broker gave a message up."""
    deaths = delivery.headers.get("x-death")
    death = deaths[0] if isinstance(deaths, list) and deaths else {}
    at: datetime | None = death.get("time")
    reason = str(death.get("reason") or "dead_letter")
    detail = f"the broker gave it up: {reason.replace('_', ' ')}"
    said = {"reason": reason, "detail": detail, "proposer": delivery.user_id or ""}
    return said, at.isoformat() if at else None


class Parked:
    """Answers for what is parked. attempt(body, proposer) judges and appends a message."""

    def __init__(self, bus: Bus, attempt: Attempt, clock: Clock) -> None:
        self._bus, self._attempt, self._clock = bus, attempt, clock
        self._looking = asyncio.Lock()

    async def answer(self, user: str | None, question: Any) -> tuple[dict[str, Any], bytes]:
        """Answer a question; raises Refused, NotFound, ValidationError."""
        if user not in ASKERS:
            raise Refused(f"op: {user} has no say in what is parked")
        try:
            return {}, orjson.dumps(await self._answer(question))
        except Unavailable as error:
            return {"error": f"parked: {error.detail}", "code": error.code}, b"{}"

    async def _answer(self, question: Any) -> dict[str, Any]:
        match question["op"]:
            case "parked.list":
                async with self._held() as letters:
                    return {"items": [letter.summary() for letter in letters]}
            case "parked.show":
                async with self._one(Which.model_validate(question).id) as letter:
                    return letter.whole()
            case "parked.retry":
                return await self._retry(Retry.model_validate(question))
            case _:
                return await self._drop(Drop.model_validate(question))

    async def _retry(self, asked: Retry) -> dict[str, Any]:
        async with self._one(asked.id) as letter:
            results = await self._attempt(letter.delivery.body, letter.proposer or None)
            refused = [each for each in results if each["verdict"] != "recorded"]
            if refused:
                log.warning("refused again", id=letter.id, actor=asked.actor, **_first(refused))
            else:
                await self._record(ParkedRetried(**_facts(letter)), letter, asked.actor)
                await letter.delivery.ack()
            return {**letter.summary(), "recorded": not refused, "results": results}

    async def _drop(self, asked: Drop) -> dict[str, Any]:
        async with self._one(asked.id) as letter:
            event = ParkedDropped(**_facts(letter), because=asked.because)
            await self._record(event, letter, asked.actor)
            await letter.delivery.ack()
            return {**letter.summary(), "dropped": True}

    async def _record(
        self, event: ParkedRetried | ParkedDropped, letter: Letter, actor: str
    ) -> None:
        """Record who did what with a message; raises Refused when the journal refuses itself."""
        proposed = {
            "event_id": uuid7(),
            "stream": f"parked/{letter.id}",
            "type": event.type,
            "data": event.model_dump(),
            "occurred_at": self._clock.now(),
            "actor": actor,
        }
        body = orjson.dumps({"proposals": [{"events": [proposed]}]})
        (result,) = await self._attempt(body, JOURNAL)
        if result["verdict"] != "recorded":
            raise Refused(f"parked: {result['detail']}")

    @asynccontextmanager
    async def _one(self, id_: str) -> AsyncIterator[Letter]:
        """Hold one message, and all others with it; NotFound when it is not there."""
        for look in range(LOOKS):
            if look:
                await self._clock.sleep(AGAIN_S)
            async with self._held() as letters:
                for letter in letters:
                    if letter.id == id_:
                        yield letter
                        return
        raise NotFound(f"id: nothing is parked as {id_}")

    @asynccontextmanager
    async def _held(self) -> AsyncIterator[Sequence[Letter]]:
        """Hold what is parked, the oldest first; what is not settled goes back afterwards."""
        async with self._looking:
            inbox = await self._bus.consume(wire.QUEUE_PARKED, prefetch=MOST)
            try:
                held: list[Letter] = []
                while len(held) < MOST:
                    delivery = await inbox.next(NEXT_S if held else FIRST_S)
                    if delivery is None:
                        break
                    held.append(letter_of(delivery))
                yield held
            finally:
                with suppress(Unavailable):
                    await inbox.close()


def _facts(letter: Letter) -> dict[str, Any]:
    """Return what a fact says of a message; what it says itself may be too long for one."""
    return {
        "parked_id": letter.id,
        "proposer": letter.proposer or "unsigned",
        "reason": letter.reason,
        "digest": letter.digest,
        "events": len(letter.events),
    }


def _first(refused: Results) -> dict[str, Any]:
    return {"code": refused[0]["code"], "detail": refused[0]["detail"]}
