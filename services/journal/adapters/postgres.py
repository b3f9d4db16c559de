"""The log in PostgreSQL."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from services.chassis.database import Database, Queries, Statements
from services.chassis.errors import Bug
from services.journal.adapters.postgres_looking import PostgresLooking
from services.journal.adapters.postgres_snapshots import PostgresSnapshots
from services.journal.digest import digest
from services.journal.lag import Lag, Reached
from services.journal.records import Command, Head, Outcome, Row, Seal, Verdict
from services.journal.verify import Standing

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping, Sequence

    from services.journal.facts import FactsQuestion
    from services.journal.history import HistoryQuestion

QUERIES = Queries(Path(__file__).parents[1] / "queries.sql")
LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)
APPEND_S = 30.0
DAYS_AHEAD = 7
VERIFY_ROWS = 5000

OUTCOMES: dict[bytes, Outcome] = {
    b"a": "appended",
    b"d": "duplicate",
    b"c": "conflict",
    b"f": "fenced",
    b"x": "other_content",
}


def arguments(commands: Sequence[Command]) -> tuple[Any, ...]:
    """Return the arrays that log.append takes for these commands."""
    entries = [
        (number, entry) for number, command in enumerate(commands, 1) for entry in command.entries
    ]
    oldest_ms = min(int(entry.event_id[:8] + entry.event_id[9:13], 16) for _, entry in entries)
    return (
        [command.lease.name if command.lease else None for command in commands],
        [command.lease.epoch if command.lease else None for command in commands],
        datetime.fromtimestamp(oldest_ms / 1000, UTC) - timedelta(days=1),
        [number for number, _ in entries],
        [entry.event_id for _, entry in entries],
        [entry.stream for _, entry in entries],
        [entry.type for _, entry in entries],
        [entry.schema_version for _, entry in entries],
        [entry.data for _, entry in entries],
        [entry.meta for _, entry in entries],
        [entry.telemetry for _, entry in entries],
        [entry.expected for _, entry in entries],
        [digest(entry) for _, entry in entries],
    )


def _verdict(
    command: Command, outcome: Outcome, positions: tuple[int, ...], versions: tuple[int, ...]
) -> Verdict:
    if outcome in ("appended", "duplicate"):
        return Verdict(outcome, positions, versions)
    if outcome == "other_content":
        return Verdict(outcome, stream=command.entries[0].stream)
    if outcome == "fenced" and command.lease is not None:
        return Verdict(outcome, stream=f"lease/{command.lease.name}", current=versions[0])
    seen: dict[str, int] = {}
    for entry, version in zip(command.entries, versions, strict=True):
        before = seen.get(entry.stream, 0)
        seen[entry.stream] = before + 1
        if entry.expected is not None and entry.expected != version + before:
            return Verdict(outcome, stream=entry.stream, current=version)
    return Verdict(outcome, stream=command.entries[0].stream, current=versions[0])


def _verdicts(commands: Sequence[Command], row: Any) -> list[Verdict]:
    """Cut what log.append answers for each entry into what became of each command."""
    verdicts, end = [], 0
    for command in commands:
        start, end = end, end + len(command.entries)
        outcome = OUTCOMES[row["verdicts"][start]]
        positions, versions = row["positions"][start:end], row["versions"][start:end]
        verdicts.append(_verdict(command, outcome, tuple(positions), tuple(versions)))
    return verdicts


async def append_within(tx: Statements, command: Command) -> Verdict:
    """Append one command as a part of a transaction that is open already."""
    row = await tx.fetchrow(QUERIES["append"], *arguments([command]), None)
    return _verdicts([command], row)[0]


class PostgresLog(PostgresSnapshots, PostgresLooking):
    """Every port of the journal on one database."""

    def __init__(self, database: Database) -> None:
        super().__init__(database)

    async def append(
        self, commands: Sequence[Command], not_before: datetime | None = None
    ) -> list[Verdict]:
        """Append each command whole or not at all, in one statement."""
        row = await self._database.commit(
            QUERIES["append"], *arguments(commands), not_before, within_s=APPEND_S
        )
        return _verdicts(commands, row)

    async def read(self, after: int, limit: int) -> Sequence[Row]:
        """Return the rows behind a position, in order."""
        return await self._database.fetch(QUERIES["read"], after, limit)

    async def page(
        self, question: HistoryQuestion, through: int, limit: int
    ) -> tuple[Sequence[Row], Head]:
        """Return rows behind `after` and at most at `through`, and the head, of one snapshot."""
        async with self._database.transaction(isolation="repeatable_read") as snapshot:
            head = _head(await snapshot.fetchrow(QUERIES["head"]))
            since = question.telemetry_since or LONG_AGO
            rows = await snapshot.fetch(
                QUERIES["page"], question.types, question.after, since, limit, through
            )
        return rows, head

    async def facts_of(self, question: FactsQuestion, limit: int) -> Sequence[Row]:
        """Return the facts asked for up to a position, in order, the latest `limit` of them."""
        rows = await self._database.fetch(
            QUERIES["facts_of"], question.positions, question.stream, question.through, limit
        )
        return rows[::-1]

    async def head(self) -> Head:
        """Return the newest position."""
        return _head(await self._database.fetchrow(QUERIES["head"]))

    async def lag(self) -> Lag:
        """Return where everybody stands, of one moment."""
        row: Any = await self._database.fetchrow(QUERIES["lag"])  # always one
        read_models = row["read_models"]
        return Lag(
            row["head"],
            row["now"],
            Reached(row["published"], row["published_since"]),
            None if read_models is None else Reached(read_models, row["read_models_since"]),
        )

    async def cursor(self) -> int:
        """Return the position published through; raises Bug when the log was rewound behind it."""
        row = await self._cursor()
        if row["event_id"] != row["stands_on"] and not row["is_sealed"]:
            raise Bug(
                f"the log was rewound: the publisher stood at {row['position']} on another event;"
                " `quartermaster log accept-rewind` goes on from here, `quartermaster rebuild`"
                " then makes the read models anew"
            )
        return int(row["position"])

    async def _cursor(self) -> Any:
        return await self._database.fetchrow(QUERIES["cursor"])

    async def move_cursor(self, before: int, after: int, event_id: str) -> bool:
        """Move the cursor if it still stands at `before`; return whether it did."""
        tag = await self._database.execute(QUERIES["move_cursor"], before, after, event_id)
        return tag == "UPDATE 1"

    async def make_partitions(self) -> None:
        """Make today's partition and those of the coming days."""
        for day in range(DAYS_AHEAD + 1):
            await self._database.execute(QUERIES["make_partition"], day)

    async def everything(self) -> AsyncIterator[Sequence[Row]]:
        """Yield every stored row in order; while one batch is looked at, the next is fetched."""
        batch = asyncio.create_task(self._stored(0))
        try:
            while rows := await batch:
                batch = asyncio.create_task(self._stored(rows[-1]["position"]))
                yield rows
        finally:
            batch.cancel()

    async def _stored(self, after: int) -> Sequence[Row]:
        return await self._database.fetch(QUERIES["everything"], after, VERIFY_ROWS)

    async def standings(self) -> list[Standing]:
        """Return what stands on a position: the cursor, checkpoints, snapshots."""
        return [Standing(*row) for row in await self._database.fetch(QUERIES["standings"])]

    async def telemetry_versions(self) -> Mapping[str, int]:
        """Return the version that each telemetry stream goes on from."""
        rows = await self._database.fetch(QUERIES["telemetry_versions"])
        return {row["stream"]: row["version"] for row in rows}

    async def seals(self) -> list[Seal]:
        """Return what dropped partitions left behind, in order."""
        rows = await self._database.fetch(QUERIES["seals"])
        return [Seal(*row) for row in rows]


def _head(row: Any) -> Head:
    return Head(row["position"], row["event_id"], row["now"])
