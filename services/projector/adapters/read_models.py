"""The tables of the read models: a batch's rows, their history and the checkpoint move together."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson

from services.chassis.database import Queries
from services.chassis.errors import Bug, Fenced, Unavailable
from services.projector.state import Checkpoint, Entry, Version

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from services.chassis.database import Database, Statements
    from services.projector.state import Changes, Row, Series

_QUERIES = Queries(Path(__file__).parents[1] / "queries.sql")
_CHECKPOINT = "rm"
_RIGHT = "rm projector"
_BETWEEN_ATTEMPTS_S = 0.5


class PostgresReadModels:
    """The read models in PostgreSQL."""

    def __init__(self, database: Database, *, series_length: int) -> None:
        self._database, self._series_length = database, series_length

    async def checkpoint(self) -> Checkpoint:
        """Return where they stand."""
        row = await self._database.fetchrow(_QUERIES["checkpoint"], _CHECKPOINT)
        if row is None:
            raise Bug("the read models have no checkpoint: the database is not migrated")
        return Checkpoint(row["position"], str(row["event_id"]) if row["event_id"] else None)

    @asynccontextmanager
    async def writing(self) -> AsyncIterator[PostgresWriting]:
        """Begin a transaction, committed at the end of its block."""
        async with self._database.transaction() as tx:
            yield PostgresWriting(tx, self._series_length)

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


class PostgresWriting:
    """One transaction over the read models."""

    def __init__(self, tx: Statements, series_length: int) -> None:
        self._tx, self._series_length = tx, series_length

    async def rows(self, model: str, keys: Sequence[str]) -> dict[str, Version]:
        """Return the rows of these keys, those that exist."""
        found = await self._tx.fetch(_sql("load_rows", model), keys)
        return {
            row["key"]: Version(row["position"], orjson.loads(row["row"]), row["row"])
            for row in found
        }

    async def save(self, model: str, changes: Changes) -> None:
        """Write rows and the versions that they replace."""
        if changes.closed:
            closed = changes.closed
            await self._tx.execute(
                _sql("close_rows", model),
                [each.key for each in closed],
                [each.version.position for each in closed],
                [each.to_position for each in closed],
                [_stored(each.version) for each in closed],
            )
        if changes.gone:
            await self._tx.execute(_sql("remove_rows", model), changes.gone)
        if changes.current:
            versions = changes.current.values()
            await self._tx.execute(
                _sql("save_rows", model),
                list(changes.current),
                [version.position for version in versions],
                [_stored(version) for version in versions],
            )

    async def append(self, series: Series, entries: Sequence[Entry]) -> None:
        """Append entries, and trim a series that is to be."""
        await self._tx.execute(
            _sql("append_entries", series.name),
            [entry.key for entry in entries],
            [entry.position for entry in entries],
            [entry.at for entry in entries],
            [_bytes(entry.row) for entry in entries],
        )
        if series.trimmed:
            keys = list(dict.fromkeys(entry.key for entry in entries))
            await self._tx.execute(_sql("trim_entries", series.name), keys, self._series_length)

    async def move(self, before: Checkpoint, after: Checkpoint) -> None:
        """Move the checkpoint; raises Fenced when it is not where we left it."""
        moved = await self._tx.execute(
            _QUERIES["move_checkpoint"],
            _CHECKPOINT,
            before.position,
            after.position,
            after.event_id,
        )
        if moved != "UPDATE 1":
            raise Fenced(f"another projector moved the checkpoint away from {before.position}")


def _sql(name: str, model: str) -> str:
    """Return a statement for a model of the registry, the only names that come here."""
    return _QUERIES[name].format(model=model)


def _stored(version: Version) -> bytes:
    return version.raw if version.raw is not None else _bytes(version.row)


def _bytes(row: Row) -> bytes:
    raw = orjson.dumps(row)
    return orjson.dumps(_without_nul(row)) if rb"\u0000" in raw else raw


def _without_nul(value: Any) -> Any:
    """Return JSON that jsonb can hold: the character U+0000 becomes U+FFFD."""
    if isinstance(value, str):
        return value.replace("\0", "\ufffd")
    if isinstance(value, dict):
        return {_without_nul(name): _without_nul(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_without_nul(inner) for inner in value]
    return value
