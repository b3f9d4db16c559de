"""The telemetry window in PostgreSQL: a partition a day, dropped and sealed in one transaction."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from services.chassis.database import Queries
from services.chassis.errors import Conflict, QuartermasterError
from services.journal.adapters.postgres import append_within
from services.journal.window import Measured, Partition

if TYPE_CHECKING:
    from services.chassis.database import Database, Statements
    from services.journal.records import Command

QUERIES = Queries(Path(__file__).parents[1] / "window.sql")
_NAME = re.compile(r"telemetry_[0-9]{8}")
NOT_THERE = "42P01"  # undefined_table: another journal was first
MOVED_ON = "ES409"  # raised by log.drop_partition, for the same reason


class PostgresWindow:
    """The port `Windowed`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def partitions(self) -> list[Partition]:
        """Return the days that are there, oldest first."""
        rows = await self._database.fetch(QUERIES["partitions"])
        named = [row for row in rows if _NAME.fullmatch(row["partition"])]
        return [Partition(row["partition"], row["day"]) for row in named]

    async def measured(self, partition: str) -> Measured | None:
        """Return what a partition holds, None when that is nothing, or it is gone."""
        try:
            row = await self._database.fetchrow(QUERIES["measure"].format(partition=partition))
        except QuartermasterError as error:
            if _sqlstate(error) == NOT_THERE:
                return None
            raise
        if row is None or row["events"] == 0:
            return None
        return Measured(partition, row["first"], row["last"], row["events"], row["last_hash"])

    async def drop(self, partition: str, sealing: tuple[Measured, Command] | None) -> bool:
        """Append the fact that seals a partition and drop it, or do neither and return False."""
        try:
            async with self._database.transaction() as tx:
                await tx.execute(QUERIES["end_if_left_alone"])
                await self._drop(tx, partition, sealing)
        except QuartermasterError as error:
            if isinstance(error, Conflict) or _sqlstate(error) == MOVED_ON:
                return False
            raise
        return True

    async def _drop(
        self, tx: Statements, partition: str, sealing: tuple[Measured, Command] | None
    ) -> None:
        if sealing is None:
            await tx.fetchval(QUERIES["drop"], partition, None, None, None, None, None)
            return
        measured, command = sealing
        verdict = await append_within(tx, command)
        if verdict.outcome != "appended":
            raise Conflict(f"{partition} is sealed already")
        await tx.fetchval(
            QUERIES["drop"],
            partition,
            measured.first,
            measured.last,
            measured.events,
            measured.last_hash,
            verdict.positions[0],
        )


def _sqlstate(error: QuartermasterError) -> str:
    return str(error.numbers.get("sqlstate"))
