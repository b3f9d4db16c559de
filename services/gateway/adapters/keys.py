"""Idempotency keys in PostgreSQL: stored before anything is proposed; a retry is the same."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING
from uuid import UUID

import orjson

from services.chassis.database import Database, Queries, Record
from services.chassis.errors import Conflict, Refused
from services.chassis.ids import uuid7
from services.chassis.problems import encode
from services.gateway.decide import keeping
from services.gateway.decide.asking import Answer, Asked, Claim, Stored

if TYPE_CHECKING:
    from collections.abc import Sequence

_SQL = Queries(Path(__file__).parents[1] / "queries.sql")
# After this its holder counts as gone. One that is only slow does no harm: it keeps nothing more
# without its claim, and what it kept is proposed with the same ids by whoever takes over.
CLAIM_S = 5.0


class KeysTable:
    """The table gateway.idempotency."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def claim(self, asked: Asked) -> Claim:
        """Return the claim on a key; Refused for another fingerprint, Conflict while in flight."""
        token = uuid7()
        row = await self._database.fetchrow(
            _SQL["claim"], asked.actor, asked.key, asked.fingerprint, UUID(token), CLAIM_S
        )
        if row is not None:
            return Claim(asked, token, stored=_stored(row["event_ids"], row["proposal"]))
        known = await self._database.fetchrow(_SQL["known"], asked.actor, asked.key)
        return Claim(asked, token, answered=_answered(asked, known))

    async def keep(self, claim: Claim, stored: Stored) -> None:
        """Keep what is about to be proposed; Conflict when the claim was lost meanwhile."""
        proposal = orjson.dumps(keeping.as_json(stored.decision))
        tag = await self._database.execute(
            _SQL["keep"], *_place(claim), list(stored.event_ids), proposal
        )
        if tag == "UPDATE 0":
            raise Conflict("another request with this Idempotency-Key has taken over")

    async def finish(self, claim: Claim, answer: Answer) -> None:
        """Keep the answer."""
        data = encode(dict(answer.data))
        await self._database.execute(
            _SQL["finish"], *_place(claim), answer.status, data, answer.position
        )

    async def let_go(self, claim: Claim) -> None:
        """Let the next request go on from what is stored."""
        await self._database.execute(_SQL["let_go"], *_place(claim))

    async def forget(self, claim: Claim) -> None:
        """Forget the key: nothing came of it."""
        await self._database.execute(_SQL["forget"], *_place(claim))

    async def sweep(self, hours: int) -> None:
        """Forget keys older than so many hours."""
        await self._database.execute(_SQL["sweep"], hours)


def _place(claim: Claim) -> tuple[str, str | None, UUID]:
    return claim.asked.actor, claim.asked.key, UUID(claim.token)


def _stored(event_ids: Sequence[str], proposal: bytes | None) -> Stored | None:
    if proposal is None:
        return None
    return Stored(tuple(event_ids), keeping.from_json(orjson.loads(proposal)))


def _answered(asked: Asked, known: Record | None) -> Answer:
    if known is None:
        raise Conflict("the request with this Idempotency-Key has just ended; ask again")
    if bytes(known["fingerprint"]) != asked.fingerprint:
        raise Refused("this Idempotency-Key was used for another request", field="Idempotency-Key")
    if known["status"] is None:
        raise Conflict("a request with this Idempotency-Key is in flight", field="Idempotency-Key")
    return Answer(known["status"], orjson.loads(known["answer"]), known["position"], repeated=True)
