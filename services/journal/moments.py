"""The log's time while the database's clock stands behind it: it goes on, and is caught up with."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import datetime

    from services.chassis.clock import Clock

# A clock that ran an hour ahead and was put right is caught up with in 42 days; until then what
# lasts an hour is told as 3.6 s less, which no decision notices. Slower would be wrong, to stand
# still was: whoever measures from one event to now then finds everything too old.
PACE = 0.999


class Moments:
    """What no event may be recorded before: the log's last known time, and what passed since.

    `recorded_at` never goes back, so after a clock was put back it would stand still for as long.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._seen: datetime | None = None
        self._seen_at = 0.0

    def observe(self, now: datetime) -> datetime:
        """Take the log's time as its database tells it; return what it is."""
        floor = self.floor()
        self._seen = now if floor is None else max(now, floor)
        self._seen_at = self._clock.monotonic()
        return self._seen

    def floor(self) -> datetime | None:
        """Return the earliest the log's time can be by now; None before anything was seen."""
        if self._seen is None:
            return None
        return self._seen + timedelta(seconds=PACE * (self._clock.monotonic() - self._seen_at))
