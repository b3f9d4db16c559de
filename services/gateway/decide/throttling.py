"""How often somebody may try: a bucket of attempts that fills again, one drop at a time.

Source: the generic cell rate algorithm (ITU-T I.371), which keeps one moment per bucket.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(frozen=True, slots=True)
class Limit:
    """So many attempts at once, and as many a minute after that."""

    per_minute: int

    @property
    def every(self) -> timedelta:
        """Return how long it takes until one more attempt is there."""
        return timedelta(minutes=1) / self.per_minute

    @property
    def burst(self) -> timedelta:
        """Return how long it takes until an empty bucket is full."""
        return self.every * self.per_minute


@dataclass(frozen=True, slots=True)
class Bucket:
    """Whose attempts are counted, how many there may be, and when it is full again."""

    name: str
    limit: Limit
    full_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Charge:
    """What an attempt comes to: after so many seconds, or now, and then full at these moments."""

    wait_s: float
    full_at: tuple[datetime, ...] = ()


def charge(buckets: Sequence[Bucket], now: datetime) -> Charge:
    """Return what one attempt takes from every bucket; from none where one of them is empty."""
    full_at = tuple(_later(bucket, now) + bucket.limit.every for bucket in buckets)
    waits = [
        (full - bucket.limit.burst - now).total_seconds()
        for bucket, full in zip(buckets, full_at, strict=True)
    ]
    wait_s = max(0.0, *waits) if waits else 0.0
    return Charge(wait_s) if wait_s > 0 else Charge(0.0, full_at)


def _later(bucket: Bucket, now: datetime) -> datetime:
    return now if bucket.full_at is None or bucket.full_at < now else bucket.full_at
