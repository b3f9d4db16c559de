"""The log of a backup in PostgreSQL: copied out, and taken in again."""

from __future__ import annotations

from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from services.chassis.database import Queries
from services.chassis.migrations import migrate
from services.journal.adapters.postgres import PostgresLog
from services.journal.backup import COLUMNS, OF_A_MOMENT, SECRETS, Chunk, Moment

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from services.chassis.database import Database, Transaction
    from services.journal.adapters.backup_directory import Directory
    from services.journal.records import Seal

QUERIES = Queries(Path(__file__).parents[1] / "backup.sql")
PARTITION = "telemetry_"


def _place(table: str) -> tuple[str, str]:
    return ("vault", "secrets") if table == SECRETS else ("log", table)


class PostgresSource:
    """The log that is copied, into a directory."""

    def __init__(self, database: Database, files: Directory) -> None:
        self._database, self._files = database, files
        self._log = PostgresLog(database)

    async def moment(self, extra: Sequence[str]) -> tuple[Moment, list[Chunk]]:
        """Return the log at one moment, and copy the tables that are of a moment."""
        applied = await self._database.fetch(QUERIES["migrations"])
        async with self._database.transaction(isolation="repeatable_read", readonly=True) as tx:
            row: Any = await tx.fetchrow(QUERIES["moment"])
            moment = Moment(
                row["position"],
                row["event_id"],
                row["facts_hash"],
                row["made_at"].isoformat(),
                tuple(row["partitions"]),
                tuple(each["name"] for each in applied),
            )
            small = []
            for table in (*OF_A_MOMENT, *extra):
                schema, name = _place(table)
                columns = ", ".join(COLUMNS[table])
                sql = QUERIES["copy_all"].format(columns=columns, schema=schema, table=name)
                chunk = Chunk(table, 0, moment.position, moment.position)
                small.append(await self._copied(tx, sql, chunk))
        return moment, small

    async def seals(self) -> list[Seal]:
        """Return what dropped partitions left behind, in order."""
        return await self._log.seals()

    async def copy(self, chunk: Chunk) -> Chunk:
        """Copy a chunk and return it with what its file turned out to be."""
        sql = QUERIES["copy"].format(
            columns=", ".join(COLUMNS[chunk.table]),
            table=chunk.table,
            after=chunk.after,
            through=chunk.through,
        )
        async with self._database.session() as session:
            return await self._copied(session, sql, chunk)

    async def _copied(self, statements: Transaction, sql: str, chunk: Chunk) -> Chunk:
        with self._files.writing(chunk) as file:
            rows = await statements.copy_out(sql, write=file.write)
        return file.chunk(rows)


class PostgresTarget:
    """The database that is restored into, as its owner."""

    def __init__(self, database: Database, url: str) -> None:
        self._database, self._url = database, url

    @asynccontextmanager
    async def writing(self) -> AsyncIterator[PostgresWriting]:
        """Begin a transaction, committed at the end of its block."""
        async with self._database.transaction() as tx:
            yield PostgresWriting(tx)

    async def applied(self) -> Sequence[str]:
        """Bring the schema to what this code knows, and return its migrations."""
        await migrate(self._url)
        return [row["name"] for row in await self._database.fetch(QUERIES["migrations"])]

    def log(self) -> PostgresLog:
        """Return the restored log."""
        return PostgresLog(self._database)


class PostgresWriting:
    """One transaction on the log that is restored."""

    def __init__(self, tx: Transaction) -> None:
        self._tx = tx

    async def is_empty(self) -> bool:
        """Return whether the log holds nothing yet, and never held anything."""
        return bool(await self._tx.fetchval(QUERIES["is_empty"]))

    async def make_partitions(self, names: Sequence[str]) -> None:
        """Make partitions of telemetry."""
        for name in names:
            await self._tx.fetchval(QUERIES["make_partition"], name.removeprefix(PARTITION))

    async def take(self, chunk: Chunk, columns: Sequence[str], rows: AsyncIterator[bytes]) -> int:
        """Take a chunk's rows and return how many they were."""
        schema, table = _place(chunk.table)
        return await self._tx.copy_in(schema, table, columns, rows)

    async def rewinds(self, head: int) -> list[str]:
        """Return what in this database has seen another log than the one restored."""
        standings = await PostgresLog(cast("Database", self._tx)).standings()
        found = (standing.rewind(head) for standing in standings if not standing.is_cache)
        return [rewind for rewind in found if rewind is not None]

    async def published(self, position: int, event_id: str | None) -> None:
        """Set the publisher's cursor: what is restored was published once."""
        await self._tx.execute(QUERIES["published"], position, event_id)

    async def drop_snapshots(self, behind: int) -> None:
        """Drop the snapshots of positions that are not there any more: they are caches."""
        await self._tx.execute(QUERIES["drop_snapshots"], behind)
