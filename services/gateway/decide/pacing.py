"""How much one caller may ask for: a pace with bursts, and the bounds of everything kept open."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Pace:
    """So many a second on average, and so many at once after a rest."""

    per_s: float
    burst: float


@dataclass(frozen=True, slots=True)
class Limits:
    """What one gateway process takes on; a pace that is None is no limit.

    streams, streams_per_caller: connections kept open for events and GPU states. patience_s: how
    long one of them may take what was sent. heartbeat_s: the longest silence on one of them.
    kept_events: the newest events kept for all of them; who falls behind by more is let go.
    """

    reads: Pace | None = None
    commands: Pace | None = None
    max_body_bytes: int = 1024 * 1024
    streams: int = 500
    streams_per_caller: int = 100
    patience_s: float = 20.0
    heartbeat_s: float = 15.0
    kept_events: int = 5000


def admit(due: float, now: float, pace: Pace) -> tuple[float, float]:
    """Return when the next request is due, and for how long this one comes too early (s).

    due: what was returned for the caller's last request, 0 for the first. 0 s: it is let in; one
    that is not changes nothing. Source: the generic cell rate algorithm, ITU-T I.371.
    """
    interval = 1 / pace.per_s
    begins = max(due, now)
    early = begins - now - (pace.burst - 1) * interval
    return (due, early) if early > 0 else (begins + interval, 0.0)
