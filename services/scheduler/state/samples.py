"""A model's queue as it was sampled: means over a window, and since when it was quiet."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass, field

from contracts.envelope import Cause

KEEP_S = 3600.0
KEEP_SAMPLES = 4096
PRUNE_FROM = 64
MAX_GAP_S = 180.0


@dataclass(slots=True)
class Samples:
    """Lengths with running totals, so that any window's mean is two look-ups.

    covered_s: since when there is no hole in the samples. active_s: the last one with a request.
    last: the newest sample. stirred_by: the one since which messages wait, None while none do.
    """

    at_s: list[float] = field(default_factory=list, metadata={"steps": True})
    totals: list[int] = field(default_factory=list, metadata={"steps": True})
    dropped: int = 0
    covered_s: float | None = None
    active_s: float | None = None
    published: int | None = None
    last: Cause | None = None
    stirred_by: Cause | None = None

    def add(
        self, at_s: float, length: int, published: int | None, cause: Cause | None = None
    ) -> None:
        """Take one more sample; time never goes back. cause: the sample as that of others.

        published: how many were ever published; a sample that does not say it leaves it as it was.
        """
        self.last = cause
        self.stirred_by = (self.stirred_by or cause) if length > 0 else None
        if self.covered_s is None or at_s - self.at_s[-1] > MAX_GAP_S:
            self.covered_s = at_s
        before, self.published = self.published, self.published if published is None else published
        if length > 0 or (before is not None and before != self.published):
            self.active_s = at_s
        self.at_s.append(at_s)
        self.totals.append((self.totals[-1] if self.totals else self.dropped) + length)
        self._prune()

    def interrupt(self) -> None:
        """Remember that from here on nothing is known, until the next sample."""
        self.covered_s = None

    def mean(self, since_s: float) -> tuple[float, int]:
        """Return the mean length of the samples after `since_s`, and how many they are."""
        first = bisect_right(self.at_s, since_s)
        count = len(self.at_s) - first
        if count == 0:
            return 0.0, 0
        before = self.totals[first - 1] if first else self.dropped
        return (self.totals[-1] - before) / count, count

    def age_s(self, now_s: float) -> float | None:
        """Return how old the newest sample is (s), or None without any."""
        return now_s - self.at_s[-1] if self.at_s else None

    def quiet_s(self, now_s: float) -> float:
        """Return for how long it is known that nothing was asked (s); 0 while it is not known."""
        if self.covered_s is None:
            return 0.0
        return now_s - max(self.covered_s, self.active_s or self.covered_s)

    def _prune(self) -> None:
        half = len(self.at_s) // 2
        old = len(self.at_s) > PRUNE_FROM and self.at_s[half] < self.at_s[-1] - KEEP_S
        if old or len(self.at_s) > KEEP_SAMPLES:
            self.dropped = self.totals[half - 1]
            del self.at_s[:half], self.totals[:half]
