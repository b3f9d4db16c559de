"""The time a page shows: now or a point of the past, and the stretch before it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING
from urllib.parse import urlencode

from services.console.decide.spoken import clock, duration

if TYPE_CHECKING:
    from collections.abc import Mapping

RANGES = {"5m": 300, "15m": 900, "1h": 3600, "6h": 21_600, "24h": 86_400, "7d": 604_800}
NAMES = {
    "5m": "5 min",
    "15m": "15 min",
    "1h": "1 hour",
    "6h": "6 hours",
    "24h": "24 h",
    "7d": "7 d",
}
_LENGTHS = (
    (60, "1 hour"), (30, "30 minutes"), (240, "4 hours"), (720, "12 hours"), (1440, "a day"),
    (4320, "3 days"), (10_080, "a week"), (43_200, "30 days"),
)  # fmt: skip
USUAL = "15m"
_LONGEST = 64


@dataclass(frozen=True)
class When:
    """What was asked for: `as_of` is a position or a time, empty for now."""

    as_of: str = ""
    range: str = USUAL

    @classmethod
    def of(cls, given: Mapping[str, str]) -> When:
        """Return what a query string asks for; a range that is none of ours is the usual one."""
        asked = given.get("range", USUAL)
        as_of = given.get("as_of", "").strip()[:_LONGEST]
        return cls(as_of, asked if asked in RANGES else USUAL)

    @property
    def seconds(self) -> int:
        """The length of the stretch."""
        return RANGES[self.range]

    def query(self, **other: str | int | None) -> str:
        """Return a query string that keeps this view, changed by `other`; None leaves one out."""
        kept: dict[str, str | int | None] = {
            "as_of": self.as_of or None,
            "range": None if self.range == USUAL else self.range,
        }
        found = {name: each for name, each in {**kept, **other}.items() if each not in (None, "")}
        return f"?{urlencode(found)}" if found else ""


@dataclass(frozen=True)
class Timebar:
    """The slider over the log: from the stretch's first position to the newest."""

    first: int
    head: int
    position: int
    at: datetime
    now: datetime
    begins_at: datetime
    is_past: bool
    telemetry: str = "kept"

    @property
    def begin(self) -> datetime:
        """Where the stretch begins that charts show."""
        return self.begins_at

    @property
    def label(self) -> str:
        """What is shown, in words."""
        if not self.is_past:
            return "live"
        gone = duration(max(0, round((self.now - self.at).total_seconds())))
        return f"{clock(self.at, self.now)} \N{MIDDLE DOT} {gone} ago"


def timebar(
    when: When,
    head: int,
    now: datetime,
    first: int,
    past: tuple[int, datetime, str] | None,
) -> Timebar:
    """Return the slider; `past`: position, moment and telemetry of the point that is shown."""
    if past is None:
        begins = now - timedelta(seconds=when.seconds)
        return Timebar(min(first, head), head, head, now, now, begins, is_past=False)
    position, at, telemetry = past
    begins = at - timedelta(seconds=when.seconds)
    low = max(1, min(first, position))
    return Timebar(low, max(head, position), position, at, now, begins, True, telemetry)


def lengths(now: datetime, chosen: str = "") -> list[tuple[str, str]]:
    """Return moments until which something may last, with how long that is; `chosen` is kept.

    They are moments and not lengths, so that a form that is sent twice says the same twice.
    """
    begin = now.replace(second=0, microsecond=0)
    found = [((begin + timedelta(minutes=minutes)).isoformat(), name) for minutes, name in _LENGTHS]
    if chosen and chosen not in dict(found):
        found.insert(0, (chosen, f"until {chosen}"))
    return found
