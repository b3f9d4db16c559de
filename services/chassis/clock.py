"""The only reader of time."""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime, timedelta
from typing import Protocol


class Clock(Protocol):
    """Time as a port, so that tests and the simulator can own it."""

    def now(self) -> datetime:
        """Return the time of day, in UTC."""

    def monotonic(self) -> float:
        """Return seconds that never go back, from an arbitrary start."""

    async def sleep(self, seconds: float) -> None:
        """Return after so many seconds."""


class SystemClock:
    """The machine's own time."""

    def now(self) -> datetime:
        """Return the time of day, in UTC."""
        return datetime.now(UTC)

    def monotonic(self) -> float:
        """Return seconds that never go back, from an arbitrary start."""
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        """Return after so many seconds."""
        await asyncio.sleep(seconds)


class LogClock:
    """Now as the log tells it: the last `recorded_at` plus the local monotonic time since.

    The machine's own time of day, right or wrong, is used only until the log was first seen.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._recorded_at = clock.now()
        self._seen_at = clock.monotonic()
        self._has_seen = False

    def observe(self, recorded_at: datetime) -> None:
        """Take a newer `recorded_at`, or the first one; an older one changes nothing."""
        if not self._has_seen or recorded_at > self.now():
            self._recorded_at, self._seen_at = recorded_at, self._clock.monotonic()
            self._has_seen = True

    def now(self) -> datetime:
        """Return the log's time, never going back once the log was seen."""
        return self._recorded_at + timedelta(seconds=self._clock.monotonic() - self._seen_at)
