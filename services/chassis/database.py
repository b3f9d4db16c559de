"""PostgreSQL: a pool, transactions, and its errors in our tree; nobody else speaks asyncpg."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Literal, Protocol

import asyncpg

from services.chassis.database_errors import mapped
from services.chassis.database_limits import limits_of
from services.chassis.database_planning import planning_of
from services.chassis.errors import Unavailable
from services.chassis.queries import Queries

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

__all__ = ["Database", "Queries", "Record", "Statements", "connect_pool"]

Record = asyncpg.Record
Isolation = Literal["read_committed", "repeatable_read", "serializable"]

ACQUIRE_S = 30.0
_BETWEEN_ATTEMPTS_S = 0.2
_JSONB_VERSION = b"\x01"
_COPY_TIMEOUT_S = 3600.0  # whoever copies copies much
_NEVER_CANCELLED_S = 86_400.0  # the driver knows no "for ever" beside a pool's own time-out


class Statements(Protocol):
    """What runs a statement: the database itself, or one transaction of it.

    json and jsonb come back as bytes and are given as bytes or str. Every method raises
    Unavailable, Conflict, Refused or Bug; `numbers["sqlstate"]` tells which error it was.
    """

    async def fetch(self, sql: str, *args: Any) -> list[Record]:
        """Return all rows."""

    async def fetchrow(self, sql: str, *args: Any) -> Record | None:
        """Return the first row, if any."""

    async def fetchval(self, sql: str, *args: Any) -> Any:
        """Return the first column of the first row, None without a row."""

    async def execute(self, sql: str, *args: Any) -> str:
        """Return the command tag, such as `UPDATE 1`."""


class Transaction:
    """One connection inside BEGIN and COMMIT."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection

    async def fetch(self, sql: str, *args: Any) -> list[Record]:
        """Return all rows."""
        with mapped():
            rows: list[Record] = await self._connection.fetch(sql, *args)
        return rows

    async def fetchrow(self, sql: str, *args: Any) -> Record | None:
        """Return the first row, if any."""
        with mapped():
            row: Record | None = await self._connection.fetchrow(sql, *args)
        return row

    async def fetchval(self, sql: str, *args: Any) -> Any:
        """Return the first column of the first row, None without a row."""
        with mapped():
            return await self._connection.fetchval(sql, *args)

    async def execute(self, sql: str, *args: Any) -> str:
        """Return the command tag; without args, `sql` may hold several statements."""
        with mapped():
            return str(await self._connection.execute(sql, *args))

    async def copy_out(
        self, sql: str, *args: Any, write: Callable[[bytes], Awaitable[None]]
    ) -> int:
        """Hand the rows of a query over in the text format of COPY; return how many they were."""
        with mapped():
            tag = await self._connection.copy_from_query(
                sql, *args, output=write, timeout=_COPY_TIMEOUT_S
            )
        return int(tag.removeprefix("COPY "))

    async def copy_in(
        self, schema: str, table: str, columns: Sequence[str], source: AsyncIterator[bytes]
    ) -> int:
        """Take rows in the text format of COPY into a table; return how many they were."""
        with mapped():
            tag = await self._connection.copy_to_table(
                table,
                source=source,
                columns=list(columns),
                schema_name=schema,
                timeout=_COPY_TIMEOUT_S,
            )
        return int(tag.removeprefix("COPY "))


class Database:
    """A pool of connections of one role.

    acquire_s: how long a statement waits for a free connection, then it is Unavailable.
    """

    def __init__(self, pool: Any, acquire_s: float) -> None:
        self._pool, self._acquire_s = pool, acquire_s

    @asynccontextmanager
    async def session(self) -> AsyncIterator[Transaction]:
        """Yield one connection outside of any transaction, for locks that outlive one."""
        with mapped():
            async with self._free() as connection:
                yield Transaction(connection)

    @asynccontextmanager
    async def transaction(
        self, *, isolation: Isolation | None = None, readonly: bool = False
    ) -> AsyncIterator[Transaction]:
        """Yield a transaction: committed at the end of the block, rolled back by any error."""
        with mapped():
            async with (
                self._free() as connection,
                connection.transaction(isolation=isolation, readonly=readonly),
            ):
                yield Transaction(connection)

    async def fetch(self, sql: str, *args: Any) -> list[Record]:
        """Return all rows."""
        async with self.session() as session:
            return await session.fetch(sql, *args)

    async def fetchrow(self, sql: str, *args: Any) -> Record | None:
        """Return the first row, if any."""
        async with self.session() as session:
            return await session.fetchrow(sql, *args)

    async def fetchval(self, sql: str, *args: Any) -> Any:
        """Return the first column of the first row, None without a row."""
        async with self.session() as session:
            return await session.fetchval(sql, *args)

    async def execute(self, sql: str, *args: Any) -> str:
        """Return the command tag, such as `UPDATE 1`."""
        async with self.session() as session:
            return await session.execute(sql, *args)

    async def commit(self, sql: str, *args: Any, within_s: float) -> Record | None:
        """Return the first row of a statement that is known to be committed.

        Where a standby must have every commit, the server waits for it; the driver's time-out
        would cancel that wait, and what only this server has would be seen by everybody, and lost
        with it. So nothing is cancelled here: after `within_s`, or when we are told to end, the
        connection is cut (Unavailable), and the outcome is learned by repeating.
        """
        with mapped():
            async with self._free() as connection:
                work = asyncio.ensure_future(
                    connection.fetchrow(sql, *args, timeout=_NEVER_CANCELLED_S)
                )
                try:
                    done, _ = await asyncio.wait([work], timeout=within_s)
                finally:
                    if not work.done():
                        connection.terminate()
                        await asyncio.wait([work])
                    work.exception()  # it was looked at: who is told to end does not tell it
                if not done:
                    raise Unavailable("the database does not answer in time")
                row: Record | None = work.result()
                return row

    def _free(self) -> Any:
        return self._pool.acquire(timeout=self._acquire_s)

    async def close(self, *, timeout_s: float = 5.0) -> None:
        """Give the connections back; those still busy after the time-out are cut."""
        try:
            await asyncio.wait_for(self._pool.close(), timeout_s)
        except TimeoutError:
            self._pool.terminate()


async def connect_pool(
    url: str,
    *,
    service: str,
    min_size: int = 1,
    max_size: int = 4,
    command_timeout_s: float = 30.0,
    acquire_s: float = ACQUIRE_S,
    patience_s: float = 30.0,
) -> Database:
    """Return a database, waiting at most `patience_s` for a server that is still starting.

    acquire_s: how long a statement waits for a connection while others have them all: less than
    whoever asked for it waits, or the work goes on for nobody.

    Raises Unavailable when it does not answer by then, Bug when it refuses the role.
    """
    last = Unavailable("the database does not answer")
    try:
        async with asyncio.timeout(patience_s):
            while True:
                try:
                    pool = await _connect(url, service, min_size, max_size, command_timeout_s)
                    return Database(pool, acquire_s)
                except Unavailable as error:
                    last = error
                await asyncio.sleep(_BETWEEN_ATTEMPTS_S)
    except TimeoutError:
        raise last from None


async def _connect(
    url: str, service: str, min_size: int, max_size: int, command_timeout_s: float
) -> Any:
    with mapped():
        return await asyncpg.create_pool(  # type: ignore[no-untyped-call]
            url,
            min_size=min_size,
            max_size=max_size,
            command_timeout=command_timeout_s,
            server_settings={
                "application_name": f"qm-{service}",
                "timezone": "UTC",
                **limits_of(service).as_settings(),
                **planning_of(service),
            },
            init=_json_as_bytes,
            reset=_keep,
        )


async def _json_as_bytes(connection: Any) -> None:
    """Hand JSON through untouched: whoever needs it parsed parses it, once."""
    await connection.set_type_codec(
        "json", schema="pg_catalog", encoder=_to_bytes, decoder=bytes, format="binary"
    )
    await connection.set_type_codec(
        "jsonb",
        schema="pg_catalog",
        encoder=lambda value: _JSONB_VERSION + _to_bytes(value),
        decoder=lambda value: bytes(value[1:]),
        format="binary",
    )


async def _keep(_: Any) -> None:
    """Leave the session as it is: nobody changes it, and a reset costs a round trip."""


def _to_bytes(value: bytes | str) -> bytes:
    return value if isinstance(value, bytes) else value.encode()
