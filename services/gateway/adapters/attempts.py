"""Attempts in PostgreSQL, so that all gateways count together."""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from services.chassis.database import Database, Queries
from services.gateway.decide.throttling import Bucket, charge

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

_SQL = Queries(Path(__file__).parents[1] / "accounts.sql")


class AttemptsTable:
    """The table gateway.attempts; names are kept as digests under a key."""

    def __init__(self, database: Database, key: bytes) -> None:
        self._database, self._key = database, key

    async def charge(self, buckets: Sequence[Bucket], now: datetime) -> float:
        """Return 0 and take one attempt from every bucket, or how many seconds to wait."""
        places = self._places(buckets)
        async with self._database.transaction() as transaction:
            await transaction.execute(_SQL["fill"], list(places), now)
            rows = await transaction.fetch(_SQL["buckets"], list(places))
            full_at = {bytes(row["bucket"]): row["full_at"] for row in rows}
            known = [replace(each, full_at=full_at.get(place)) for place, each in places.items()]
            charged = charge(known, now)
            if charged.full_at:
                await transaction.execute(_SQL["charge"], list(places), list(charged.full_at))
        return charged.wait_s

    async def give_back(self, buckets: Sequence[Bucket]) -> None:
        """Put the attempt of somebody who was right back."""
        places = self._places(buckets)
        every = [each.limit.every for each in places.values()]
        await self._database.execute(_SQL["give_back"], list(places), every)

    def _places(self, buckets: Sequence[Bucket]) -> dict[bytes, Bucket]:
        return {
            hmac.digest(self._key, each.name.encode("utf-8", "replace"), hashlib.sha256): each
            for each in buckets
        }
