"""Numbers and times as people read them, in UTC."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

MINUTE_S, HOUR_S, DAY_S = 60, 3600, 86_400
_BRIEF_S, _TENTHS_BELOW_S = 120, 10
_THOUSAND, _NEARLY_1_S = 1000, 0.9995
NONE = "\N{EM DASH}"


def moment(said: str | datetime | None) -> datetime | None:
    """Return a time of the API, None where there is none."""
    if not said:
        return None
    at = said if isinstance(said, datetime) else datetime.fromisoformat(said)
    return at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)


def duration(seconds: float | None) -> str:
    """Return a length of time in its two largest units: `38 min`, `2 h 5 min`, `3 d`."""
    if seconds is None:
        return NONE
    if 0 < seconds < _NEARLY_1_S:
        return f"{seconds * _THOUSAND:.0f} ms"
    if seconds < _TENTHS_BELOW_S and seconds != int(seconds):
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


def ago(said: str | datetime | None, now: datetime) -> str:
    """Return how long ago something was: `just now`, `12 s ago`, `2 h 5 min ago`."""
    at = moment(said)
    if at is None:
        return NONE
    seconds = (now - at).total_seconds()
    return "just now" if seconds < 1 else f"{duration(round(seconds))} ago"


def ahead(said: str | datetime | None, now: datetime) -> str:
    """Return how far ahead something is: `in 38 min`; `over` when it is not."""
    at = moment(said)
    if at is None:
        return NONE
    seconds = (at - now).total_seconds()
    return "over" if seconds <= 0 else f"in {duration(max(1, round(seconds)))}"


def lasted(began: str | None, ended: str | None, now: datetime) -> str:
    """Return how long something lasted, or has lasted so far."""
    first, last = moment(began), moment(ended) or now
    return NONE if first is None else duration(max(0, round((last - first).total_seconds())))


def clock(said: str | datetime | None, now: datetime | None = None) -> str:
    """Return a time of day, with its date where that is not today's."""
    at = moment(said)
    if at is None:
        return NONE
    if now is not None and at.date() == now.date():
        return f"{at:%H:%M:%S}"
    return f"{at:%Y-%m-%d %H:%M:%S}"


def number(value: float | None) -> str:
    """Return a number without more digits than tell anything: `1,234`, `0.83`."""
    if value is None:
        return NONE
    if isinstance(value, int) or float(value).is_integer():
        return f"{int(value):,}"
    return f"{value:.3g}"


def count(value: int, noun: str) -> str:
    """Return so many of something: `1 instance`, `2 instances`."""
    return f"{value:,} {noun}" if value == 1 else f"{value:,} {noun}s"


def quantity(name: str, value: Any) -> str:
    """Return a number of a reason as its name says what it is: seconds as a length of time."""
    if isinstance(value, bool) or value is None or isinstance(value, str):
        return NONE if value is None else str(value).lower() if isinstance(value, bool) else value
    return duration(value) if name.endswith("_s") else number(value)


def words(code: str) -> str:
    """Return a code as words: `no_free_gpu` becomes `no free GPU`."""
    return code.replace("_", " ").replace(".", " ").replace("gpu", "GPU")


def memory(megabytes: float | None) -> str:
    """Return an amount of memory: `80 GiB`, `512 MiB`."""
    if megabytes is None:
        return NONE
    return f"{megabytes / 1024:.3g} GiB" if megabytes >= 1024 else f"{megabytes:.0f} MiB"  # noqa: PLR2004
