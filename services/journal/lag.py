"""Answer how far behind the log others are: what is published, what is projected, what is parked.

Only the log can tell: whoever is behind, or dead, cannot say so itself.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import orjson

from services.chassis import wire
from services.chassis.errors import Unavailable

if TYPE_CHECKING:
    from datetime import datetime

OPERATION = "lag"


@dataclass(frozen=True, slots=True)
class Reached:
    """A position that somebody reached, and when the first event behind it was recorded."""

    position: int
    waiting_since: datetime | None = None

    def behind_s(self, now: datetime) -> float:
        """Return for how long something has waited (s); 0 when nothing does."""
        return max(0.0, (now - self.waiting_since).total_seconds()) if self.waiting_since else 0.0


@dataclass(frozen=True, slots=True)
class Lag:
    """The head of the log, its time, and where those stand who follow it.

    read_models: None where nobody projects.
    """

    head: int
    now: datetime
    published: Reached
    read_models: Reached | None


class Measured(Protocol):
    """What a log must do to tell how far behind others are."""

    async def lag(self) -> Lag:
        """Return where everybody stands, of one moment."""


class Counting(Protocol):
    """What a bus must do to tell what is parked."""

    async def depth(self, queue: str) -> int:
        """Return how many messages of a durable queue are with no consumer."""


async def answer(log: Measured, bus: Counting) -> tuple[dict[str, Any], bytes]:
    """Return `{head, published, read_models, parked}`, each with the seconds it is behind."""
    try:
        lag, parked = await log.lag(), await bus.depth(wire.QUEUE_PARKED)
    except Unavailable as error:
        return {"error": f"lag: {error.detail}", "code": error.code}, b"{}"
    told = {
        "head": lag.head,
        "published": _told(lag.published, lag.now),
        "read_models": _told(lag.read_models, lag.now) if lag.read_models else None,
        "parked": parked,
    }
    return {}, orjson.dumps(told)


def _told(reached: Reached, now: datetime) -> dict[str, Any]:
    return {"position": reached.position, "behind_s": round(reached.behind_s(now), 3)}
