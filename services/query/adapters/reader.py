"""Reads from PostgreSQL: one statement each, so that content and position are of one snapshot."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from services.chassis.database import Queries
from services.chassis.errors import Unavailable
from services.query.state import Found

if TYPE_CHECKING:
    from services.chassis.database import Record, Statements
    from services.query.adapters.checkpoint import CheckpointWatch

_QUERIES = Queries(Path(__file__).parents[1] / "queries.sql")


class DatabaseReader:
    """Answers named queries."""

    def __init__(self, database: Statements, checkpoint: CheckpointWatch) -> None:
        self._database, self._checkpoint = database, checkpoint

    async def page(
        self, name: str, limit: int, after: str | None, *args: Any, min_position: int
    ) -> Found:
        """Return a page of a named list; raises Unavailable when the position is not reached."""
        await self._checkpoint.reach(min_position)
        row = await self._database.fetchrow(_wrapped("page", name), limit, after, *args)
        found = _present(row)
        return Found(found["position"], found["content"], found["next_cursor"])

    async def one(self, name: str, *args: Any, min_position: int) -> Found:
        """Return one thing by a named query, content None when there is none."""
        await self._checkpoint.reach(min_position)
        found = _present(await self._database.fetchrow(_wrapped("one", name), *args))
        return Found(found["position"], found["content"])


def _wrapped(wrapper: str, name: str) -> str:
    """Return a named query of our file inside of the one that adds the position."""
    return _QUERIES[wrapper].replace("{select}", _QUERIES[name])


def _present(row: Record | None) -> Record:
    if row is None or row["position"] is None:
        raise Unavailable("the read models are not there yet")
    return row
