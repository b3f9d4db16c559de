"""How late events are at each hop: proposed, recorded, received, folded, projected."""

from __future__ import annotations

import asyncio
import json
from bisect import bisect_left
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from time import time

from contracts.envelope import Recorded
from services.chassis.database import Database

LOOK_S = 0.01
HOPS = ("recorded", "received", "folded", "projected")

Reached = list[tuple[int, float]]  # a position, and when it was reached first (s)


@dataclass
class Passage:
    """What was seen of every event, in the order of positions; times in seconds since 1970."""

    events: list[tuple[int, float, float, float]] = field(default_factory=list)
    projected: Reached = field(default_factory=list)

    def saw(self, batch: Sequence[Recorded]) -> None:
        """Note events as they come in."""
        now = time()
        for event in batch:
            said = datetime.fromisoformat(event.meta.occurred_at).timestamp()
            self.events.append((event.position, said, event.recorded_at.timestamp(), now))

    async def watch(self, database: Database) -> None:
        """Note for ever through where the read models stand."""
        last = -1
        while True:
            position = await database.fetchval("select position from rm.checkpoints")
            if position != last:
                self.projected.append((position, time()))
                last = position
            await asyncio.sleep(LOOK_S)

    def lags(self, folded: Reached, after: int) -> dict[str, list[float]]:
        """Return for each hop how late events behind a position were since they were proposed."""
        found: dict[str, list[float]] = {hop: [] for hop in HOPS}
        ends = {"folded": folded, "projected": self.projected}
        places = {hop: [position for position, _ in reached] for hop, reached in ends.items()}
        for position, said, recorded, received in self.events:
            if position <= after:
                continue
            found["recorded"].append(recorded - said)
            found["received"].append(received - said)
            for hop, reached in ends.items():
                index = bisect_left(places[hop], position)
                if index < len(reached):
                    found[hop].append(reached[index][1] - said)
        return found


@dataclass(frozen=True)
class Pass:
    """One pass of a scheduler, as it told of it."""

    position: int
    began: float
    took_ms: float
    proposals: int


def passes(told: Path) -> list[Pass]:
    """Return the passes that a scheduler wrote of at LOG_LEVEL=DEBUG."""
    found = []
    for line in told.read_text().splitlines():
        with suppress(json.JSONDecodeError):
            said = json.loads(line)
            if said.get("event") == "decided" and "took_ms" in said:
                ended = datetime.fromisoformat(said["timestamp"]).timestamp()
                began, took_ms = ended - said["took_ms"] / 1000, said["took_ms"]
                found.append(Pass(said["position"], began, took_ms, said["proposals"]))
    return found


def folded(found: Iterable[Pass]) -> Reached:
    """Return when the scheduler had folded what: by when it began to decide on it."""
    return [(each.position, each.began) for each in found]
