"""Looking at the whole log in PostgreSQL: counts, sizes, and what an export asks for."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from services.chassis.database import Queries

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from services.chassis.database import Database
    from services.journal.export import ExportQuestion
    from services.journal.records import Row

QUERIES = Queries(Path(__file__).parents[1] / "looking.sql")
PARTITIONS = Queries(Path(__file__).parents[1] / "window.sql")["partitions"]


class PostgresLooking:
    """What stats and export ask of a log beyond its other ports."""

    _database: Database

    async def counts(self, after: int, through: int) -> Sequence[Any]:
        """Return rows with type, family, day, is_telemetry, events, bytes of some positions."""
        return await self._database.fetch(QUERIES["counts"], after, through)

    async def sizes(self) -> Mapping[str, Any]:
        """Return the cursor's position, bytes on disk, and the partitions with theirs."""
        row = await self._database.fetchrow(QUERIES["sizes"])
        partitions = await self._database.fetch(PARTITIONS)
        return {
            "cursor": row["cursor"] if row else 0,
            "bytes_on_disk": row["bytes_on_disk"] if row else 0,
            "partitions": [
                {"partition": each["partition"], "bytes_on_disk": each["bytes"]}
                for each in partitions
            ],
        }

    async def selected(self, question: ExportQuestion, through: int, limit: int) -> Sequence[Row]:
        """Return what a question asks for, up to a position, in order."""
        return await self._database.fetch(
            QUERIES["selected"],
            question.after,
            through,
            limit,
            question.types,
            question.streams,
            question.since,
            question.until,
        )
