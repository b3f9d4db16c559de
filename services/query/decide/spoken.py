"""Numbers and times as people say them, in UTC."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime
    from typing import Any

MINUTE_S, HOUR_S, DAY_S = 60, 3600, 86_400
DASH = "\N{EN DASH}"
MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_BRIEF_S = 120.0


def duration(seconds: float) -> str:
    """Return a length of time in its two largest units: `38 min`, `2 h 5 min`, `3 d`."""
    if seconds < 10 and seconds != int(seconds):  # noqa: PLR2004 (below it, tenths matter)
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < _BRIEF_S:
        return f"{whole} s"
    for unit_s, unit, part_s, part in (
        (DAY_S, "d", HOUR_S, "h"),
        (HOUR_S, "h", MINUTE_S, "min"),
    ):
        if whole >= unit_s:
            rest = whole % unit_s // part_s
            return f"{whole // unit_s} {unit}" + (f" {rest} {part}" if rest else "")
    return f"{round(whole / MINUTE_S)} min"


def clock(at: datetime, *, seconds: bool = False) -> str:
    """Return a time of day: `14:02`, or `14:02:10`."""
    return at.strftime("%H:%M:%S" if seconds else "%H:%M")


def span(began: datetime, ended: datetime) -> str:
    """Return from when to when, with the days where they differ."""
    brief = (ended - began).total_seconds() < _BRIEF_S
    if began.date() != ended.date():
        return f" {DASH} ".join(day(at, seconds=brief) for at in (began, ended))
    return DASH.join(clock(at, seconds=brief) for at in (began, ended))


def day(at: datetime, *, seconds: bool = False) -> str:
    """Return a day and a time of it: `3 May 14:02`."""
    return f"{at.day} {MONTHS[at.month - 1]} {clock(at, seconds=seconds)}"


def count(number: int, noun: str) -> str:
    """Return so many of something: `1 instance`, `2 instances`."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def first_line(text: str, longest: int = 200) -> str:
    """Return the first line that says something, shortened."""
    line = next((each.strip() for each in text.splitlines() if each.strip()), "")
    return line if len(line) <= longest else f"{line[: longest - 1]}…"


class Numbers(dict[str, str]):
    """The numbers of a reason as they are said; one that is not there is said as `?`."""

    def __init__(self, numbers: Mapping[str, Any]) -> None:
        super().__init__({name: _said(name, value) for name, value in numbers.items()})

    def __missing__(self, name: str) -> str:
        """Return what is said of a number that is not there."""
        return "?"


def _said(name: str, value: Any) -> str:
    if isinstance(value, bool | str) or value is None:
        return str(value)
    if name.endswith("_s"):
        return duration(value)
    return f"{value:.3g}" if isinstance(value, float) else str(value)
