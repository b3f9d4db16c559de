"""Whether something grows without bound: what a series of samples gained, and how fast."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

SETTLED = 0.25  # of the time: before, caches fill and pools open
BARS = "▁▂▃▄▅▆▇█"
WIDTH = 24
HOUR_S = 3600.0

Series = Sequence[tuple[float, float]]


@dataclass(frozen=True)
class Growth:
    """What one series did, in its own unit, after it had settled.

    peak: of all samples. began, ended: medians of the first and last quarter of what counts.
    per_hour: how fast the second half of it rose, for what rises at first and then stays.
    """

    peak: float
    began: float
    ended: float
    per_hour: float

    @property
    def gained(self) -> float:
        """What there was more in the end."""
        return self.ended - self.began


def grown(series: Series) -> Growth:
    """Return what a series did; (s, value), at least eight samples, in order."""
    start, end = series[0][0], series[-1][0]
    counts = [each for each in series if each[0] >= start + SETTLED * (end - start)]
    quarter = max(1, len(counts) // 4)
    late = counts[len(counts) // 2 :]
    half = len(late) // 2
    gained = median(value for _, value in late[half:]) - median(value for _, value in late[:half])
    return Growth(
        peak=max(value for _, value in series),
        began=median(value for _, value in counts[:quarter]),
        ended=median(value for _, value in counts[-quarter:]),
        per_hour=gained / (late[half][0] - late[0][0]) * HOUR_S,
    )


def drawn(series: Series, width: int = WIDTH) -> str:
    """Return a series as a line of bars, from nothing to its peak."""
    values = [value for _, value in series]
    peak = max(values) or 1.0
    step = max(1, -(-len(values) // width))
    parts = [values[n : n + step] for n in range(0, len(values), step)]
    return "".join(BARS[min(7, int(8 * median(part) / peak))] for part in parts)
