"""Reads from PostgreSQL: one statement each, so that content and position are of one snapshot."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson

from services.chassis.database import Queries
from services.chassis.errors import Unavailable
from services.query.adapters import past
from services.query.state import Found, Then

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from services.chassis.database import Record, Statements
    from services.query.adapters.checkpoint import CheckpointWatch

_QUERIES = Queries(Path(__file__).parents[1] / "queries.sql")
# Things that people know by their `id`: they say it first, so that nobody who hands them on has to
# read them for it.
_THINGS = frozenset(
    each for one in ("environment", "node", "webhook") for each in (one, f"{one}s")
) | {"strategy", "strategies"}


class DatabaseReader:
    """Answers named queries."""

    def __init__(
        self, database: Statements, checkpoint: CheckpointWatch, *, samples_kept: int = 1_000
    ) -> None:
        self._database, self._checkpoint = database, checkpoint
        self.samples_kept = samples_kept

    async def then(self, as_of: int | datetime) -> Then:
        """Return the position meant, once the read models have it.

        Raises Refused in the future or before the beginning, Unavailable when not reached in time.
        """
        then = await past.then_of(self._database, as_of)
        await self._checkpoint.reach(then.position)
        return then

    async def page(
        self,
        name: str,
        limit: int,
        after: str | None,
        *args: Any,
        min_position: int,
        then: Then | None = None,
    ) -> Found:
        """Return a page of a named list; raises Unavailable when the position is not reached."""
        sql, given = await self._asked("page", name, (limit, after, *args), min_position, then)
        rows = await self._database.fetch(sql, *given)
        position = _position(rows[0])
        items = [row["item"] for row in rows[:limit] if row["item"] is not None]
        if name in _THINGS:
            items = [_known_by(row["sort"], item) for row, item in zip(rows, items, strict=False)]
        following = rows[limit - 1]["sort"] if len(rows) > limit else None
        return Found(position, b"[%b]" % b",".join(items), following)

    async def one(
        self, name: str, *args: Any, min_position: int, then: Then | None = None
    ) -> Found:
        """Return one thing by a named query, content None when there is none."""
        sql, given = await self._asked("one", name, args, min_position, then)
        row = await self._database.fetchrow(sql, *given)
        position = _position(row)
        content: bytes | None = row["content"] if row else None
        if content is not None and name in _THINGS:
            content = _known_by(args[0], content)
        return Found(position, content)

    async def _asked(
        self, wrapper: str, name: str, args: tuple[Any, ...], min_position: int, then: Then | None
    ) -> tuple[str, Sequence[Any]]:
        """Return the statement and what it is given, once the read models have the position."""
        await self._checkpoint.reach(min_position)
        if then is None:
            return _now(wrapper, name), args
        sql, wanted = _then(wrapper, name, len(args))
        known = dict(
            zip(past.PARAMETERS, (then.position, then.recorded_at, self.samples_kept), strict=True)
        )
        return sql, (*args, *(known[parameter] for parameter in wanted))


@cache
def _now(wrapper: str, name: str) -> str:
    """Return a named query of our file inside of the one that adds the position."""
    now = "(select position from rm.checkpoints where name = 'rm')"
    return _wrapped(wrapper, _QUERIES[name], now)


@cache
def _then(wrapper: str, name: str, count: int) -> tuple[str, tuple[str, ...]]:
    """Return the same as of a position, and what it wants to be given after `count` arguments."""
    sql = _wrapped(wrapper, past.turned(name), "$as_of::bigint")
    wanted = tuple(parameter for parameter in past.PARAMETERS if parameter in sql)
    for number, parameter in enumerate(wanted, count + 1):
        sql = sql.replace(parameter, f"${number}")
    return sql, wanted


def _wrapped(wrapper: str, select: str, position: str) -> str:
    return _QUERIES[wrapper].replace("{position}", position).replace("{select}", select)


def _known_by(id_: str, item: bytes) -> bytes:
    """Return a thing, which has members, with its `id` before them."""
    return b'{"id":%b,%b' % (orjson.dumps(id_), item[1:])


def _position(row: Record | None) -> int:
    if row is None or row["position"] is None:
        raise Unavailable("the read models are not there yet")
    return int(row["position"])
