"""A queue's samples as the path of a small picture."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

WIDTH, HEIGHT, PAD = 120, 28, 2
_BUCKETS = 60


@dataclass(frozen=True)
class Spark:
    """A line and the area below it, in a box of WIDTH by HEIGHT; `last` is where it ends."""

    line: str
    area: str
    last: tuple[float, float]
    most: float
    width: int = WIDTH
    height: int = HEIGHT


def spark(samples: Sequence[tuple[float, float]], begin: float, end: float) -> Spark | None:
    """Return the picture of (time, value) between two times, None where there is too little.

    Each of 60 slices shows its highest value: a peak must not vanish in a mean.
    """
    span = end - begin
    if span <= 0:
        return None
    slices: dict[int, float] = {}
    for at, value in samples:
        if begin <= at <= end:
            place = min(_BUCKETS - 1, int((at - begin) / span * _BUCKETS))
            slices[place] = max(value, slices.get(place, 0.0))
    if len(slices) < 2:  # noqa: PLR2004 (a line has two ends)
        return None
    most = max(slices.values())
    points = [_point(place, slices[place], most) for place in sorted(slices)]
    line = "M" + "L".join(f"{x:g},{y:g}" for x, y in points)
    base = HEIGHT - PAD
    area = f"{line}L{points[-1][0]:g},{base}L{points[0][0]:g},{base}Z"
    return Spark(line, area, points[-1], most)


def _point(place: int, value: float, most: float) -> tuple[float, float]:
    x = PAD + place / (_BUCKETS - 1) * (WIDTH - 2 * PAD)
    y = HEIGHT - PAD - (value / most if most else 0.0) * (HEIGHT - 2 * PAD)
    return round(x, 1), round(y, 1)
