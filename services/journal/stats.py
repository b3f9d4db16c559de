"""Count the log: events and bytes by type, stream family and day; partitions, seals, lag."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Any, Protocol

from services.journal.records import never_mind

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from services.journal.records import Head, Seal, Tell

SPAN = 200_000  # positions counted by one statement


class Countable(Protocol):
    """What a log must do to be counted."""

    async def head(self) -> Head:
        """Return the newest position."""

    async def seals(self) -> list[Seal]:
        """Return what dropped partitions left behind, in order."""

    async def counts(self, after: int, through: int) -> Sequence[Any]:
        """Return rows with type, family, day, is_telemetry, events, bytes of some positions."""

    async def sizes(self) -> Mapping[str, Any]:
        """Return the cursor's position, bytes on disk, and the partitions with theirs."""


async def stats(log: Countable, tell: Tell = never_mind) -> dict[str, Any]:
    """Return the counts, through the head as it was when they were begun."""
    head = (await log.head()).position
    by: dict[str, dict[str, dict[str, int]]] = {
        name: defaultdict(lambda: {"events": 0, "bytes": 0})
        for name in ("retention", "type", "family", "day")
    }
    for after in range(0, head, SPAN):
        through = min(after + SPAN, head)
        for row in await log.counts(after, through):
            retention = "telemetry" if row["is_telemetry"] else "facts"
            keys = (retention, row["type"], row["family"], row["day"].isoformat())
            for counts, key in zip(by.values(), keys, strict=True):
                counts[key]["events"] += row["events"]
                counts[key]["bytes"] += row["bytes"]
        tell(through, head, "positions")
    return _told(head, by, await log.seals(), await log.sizes())


def _told(
    head: int,
    by: Mapping[str, Mapping[str, Mapping[str, int]]],
    seals: Sequence[Seal],
    sizes: Mapping[str, Any],
) -> dict[str, Any]:
    events = sum(counts["events"] for counts in by["retention"].values())
    return {
        "head": head,
        "events": events,
        "bytes": sum(counts["bytes"] for counts in by["retention"].values()),
        "cursor": sizes["cursor"],
        "cursor_lag": max(0, head - sizes["cursor"]),
        "bytes_on_disk": sizes["bytes_on_disk"],
        **{f"by_{name}": dict(sorted(counts.items())) for name, counts in by.items()},
        "partitions": sizes["partitions"],
        "seals": [
            {
                "partition": seal.partition,
                "first_position": seal.first,
                "last_position": seal.last,
                "events": seal.events,
                "last_hash": seal.last_hash.hex(),
                "sealed_by": seal.sealed_by,
            }
            for seal in seals
        ],
        "dropped": sum(seal.events for seal in seals),
    }
