"""The tables of the read models: a batch's rows, their history and the checkpoint move together."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager, suppress
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson

from services.chassis.database import Queries
from services.chassis.errors import Bug, Fenced, Unavailable
from services.projector.state import Checkpoint, Version, moment

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable, Iterator, Sequence

    from services.chassis.database import Database, Transaction
    from services.projector.state import Changes, Closed, Entry, Series

_QUERIES = Queries(Path(__file__).parents[1] / "queries.sql")
_CHECKPOINT = "rm"
_RIGHT = "rm projector"
_BETWEEN_ATTEMPTS_S = 0.5
_SCHEMA = "rm"
_LINES = 500
_HISTORY_COLUMNS = ("key", "from_position", "to_position", "row")
_SERIES_COLUMNS = ("key", "position", "at", "row")
_ESCAPES = str.maketrans({"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r"})


class PostgresReadModels:
    """The read models in PostgreSQL: the live ones, or those that a build makes."""

    def __init__(self, database: Database, *, series_length: int, build: int | None = None) -> None:
        self._database, self._series_length, self._build = database, series_length, build

    async def checkpoint(self) -> Checkpoint:
        """Return where they stand."""
        row = await self._database.fetchrow(*self._where_they_stand())
        if row is None:
            raise Bug("the read models have no checkpoint: the database is not migrated")
        return Checkpoint(row["position"], str(row["event_id"]) if row["event_id"] else None)

    async def rows(self, model: str, keys: Sequence[str]) -> dict[str, Version]:
        """Return the rows of these keys, those that exist."""
        found = await self._database.fetch(_sql("load_rows", table_of(model, self._build)), keys)
        return {
            row["key"]: Version(row["position"], orjson.loads(row["row"]), row["row"])
            for row in found
        }

    @asynccontextmanager
    async def writing(self) -> AsyncIterator[PostgresWriting]:
        """Begin a transaction, committed at the end of its block."""
        async with self._database.transaction() as tx:
            if self._build is not None:  # its tables are nobody's yet: a crash only costs time
                await tx.execute(_QUERIES["commit_soon"])
            yield PostgresWriting(tx, self._series_length, self._build, trims=self._build is None)

    def beside(self, other: PostgresWriting) -> PostgresWriting:
        """Return a way to write in the transaction of others."""
        return PostgresWriting(other.tx, self._series_length, self._build, trims=True)

    @asynccontextmanager
    async def alone(self) -> AsyncIterator[None]:
        """Wait until no other process projects; being alone is order, the checkpoint the fence."""
        async with self._database.session() as session:
            while not await session.fetchval(_QUERIES["try_alone"], _RIGHT):  # noqa: ASYNC110
                await asyncio.sleep(_BETWEEN_ATTEMPTS_S)
            try:
                yield
            finally:
                with suppress(Unavailable):  # the right went with the connection
                    await session.execute(_QUERIES["not_alone"], _RIGHT)

    def _where_they_stand(self) -> tuple[Any, ...]:
        if self._build is None:
            return _QUERIES["checkpoint"], _CHECKPOINT
        return _QUERIES["checkpoint_of_build"], self._build


class PostgresWriting:
    """One transaction over the read models.

    trims: keep series at their length; a build trims all at once when it is filled and indexed.
    """

    def __init__(
        self, tx: Transaction, series_length: int, build: int | None, *, trims: bool
    ) -> None:
        self.tx, self._series_length, self._build = tx, series_length, build
        self._trims = trims

    async def save(self, model: str, changes: Changes) -> None:
        """Write rows and the versions that they replace."""
        table = table_of(model, self._build)
        if changes.closed:
            history = table_of(f"{model}_history", self._build)
            await self._copy(history, _HISTORY_COLUMNS, _closed_lines(changes.closed))
        if changes.gone:
            await self.tx.execute(_sql("remove_rows", table), list(changes.gone))
        if changes.current:
            versions = changes.current.values()
            await self.tx.execute(
                _sql("save_rows", table),
                list(changes.current),
                [version.position for version in versions],
                [_raw(version) for version in versions],
            )

    async def append(self, series: Series, entries: Sequence[Entry]) -> None:
        """Append entries, and trim a series that is to be."""
        table = table_of(series.name, self._build)
        await self._copy(table, _SERIES_COLUMNS, _entry_lines(entries))
        if series.trimmed and self._trims:
            keys = list(dict.fromkeys(key for key, *_ in entries))
            await self.tx.execute(_sql("trim_entries", table), keys, self._series_length)

    async def move(self, before: Checkpoint, after: Checkpoint) -> None:
        """Move the checkpoint; raises Fenced when it is not where we left it."""
        sql = "move_checkpoint" if self._build is None else "move_build"
        moved = await self.tx.execute(
            _QUERIES[sql],
            self._build or _CHECKPOINT,
            before.position,
            after.position,
            after.event_id,
        )
        if moved != "UPDATE 1":
            raise Fenced(f"another projector moved the checkpoint away from {before.position}")

    async def _copy(self, table: str, columns: Sequence[str], lines: Iterable[str]) -> None:
        await self.tx.copy_in(_SCHEMA, table, columns, _chunks(lines))


async def _chunks(lines: Iterable[str]) -> AsyncIterator[bytes]:
    """Yield lines many at a time."""
    left = iter(lines)
    while some := "".join(islice(left, _LINES)):
        yield some.encode()


def _closed_lines(closed: Sequence[Closed]) -> Iterator[str]:
    for each in closed:
        row = _json_cell(_raw(each.version))
        yield f"{_cell(each.key)}\t{each.version.position}\t{each.to_position}\t{row}\n"


def _entry_lines(entries: Sequence[Entry]) -> Iterator[str]:
    last, when = None, ""
    for key, position, at, row in entries:
        if at is not last:  # an event has several entries
            last, when = at, moment(at)
        cell = _json_cell(orjson.dumps(row)) if row else "{}"
        yield f"{_cell(key)}\t{position}\t{when}\t{cell}\n"


def _json_cell(raw: bytes) -> str:
    """Return JSON as COPY wants it: of what COPY minds it has backslashes only."""
    text = raw.decode()
    return text.replace("\\", "\\\\") if "\\" in text else text


def _cell(text: str) -> str:
    """Return text as COPY wants it."""
    minds = "\\" in text or "\n" in text or "\t" in text or "\r" in text
    return text.translate(_ESCAPES) if minds else text


def table_of(model: str, build: int | None) -> str:
    """Return the table of a model of the registry, the only names that come here."""
    return model if build is None else f"{model}__{build}"


def _sql(name: str, table: str) -> str:
    return _QUERIES[name].format(model=table)


def _raw(version: Version) -> bytes:
    if version.raw is None:
        version.raw = orjson.dumps(version.row)
    return version.raw
