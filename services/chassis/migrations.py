"""Migrations: SQL files applied in order, each once, whole or not at all, never changed after."""

from __future__ import annotations

import asyncio
import hashlib
import os
import re
import sys
from dataclasses import dataclass
from pathlib import Path

from services.chassis.database import Database, connect_pool
from services.chassis.errors import Bug, QuartermasterError, Refused

DIRECTORY = Path(__file__).parents[2] / "deploy" / "postgres" / "migrations"
URL_VARIABLE = "QM_OWNER_DATABASE_URL"

_NAME = re.compile(r"^(?P<number>\d{4})_[a-z0-9_]+\.sql$")
_LOCK = 0x716D_6D69  # "qmmi": two migrators take turns
_TIMEOUT_S = 3600.0  # an index over a big log takes its time

_PREPARE = """
create schema if not exists qm;
create table if not exists qm.migrations (
    name text primary key,
    sha256 bytea not null,
    applied_at timestamptz not null default now()
)"""


@dataclass(frozen=True, slots=True)
class Migration:
    """One file."""

    name: str
    sql: str

    @property
    def sha256(self) -> bytes:
        """Return the digest by which a later change is seen."""
        return hashlib.sha256(self.sql.encode()).digest()


def read(directory: Path) -> list[Migration]:
    """Return a directory's migrations in order; raises Bug at a strange or repeated number."""
    numbers: dict[str, str] = {}
    for file in sorted(directory.glob("*.sql")):
        match = _NAME.match(file.name)
        if not match:
            message = f"{file.name} is not named NNNN_name.sql"
            raise Bug(message)
        if other := numbers.get(match["number"]):
            message = f"{other} and {file.name} have the same number"
            raise Bug(message)
        numbers[match["number"]] = file.name
    return [Migration(name, (directory / name).read_text()) for name in numbers.values()]


def pending(known: list[Migration], applied: dict[str, bytes]) -> list[Migration]:
    """Return what is still to apply; raises Refused when the past is not what the files say."""
    by_name = {migration.name: migration for migration in known}
    for name, digest in sorted(applied.items()):
        if name not in by_name:
            message = f"{name} was applied but its file is gone: this code is older than the data"
            raise Refused(message)
        if by_name[name].sha256 != digest:
            message = f"{name} was applied and then changed: restore it, write a new migration"
            raise Refused(message)
    todo = [migration for migration in known if migration.name not in applied]
    if todo and applied and todo[0].name < max(applied):
        message = f"{todo[0].name} comes before {max(applied)}, which was applied: renumber it"
        raise Refused(message)
    return todo


async def migrate(url: str, directory: Path = DIRECTORY) -> list[str]:
    """Apply what is missing, as the owner of the database; return the names of what was applied."""
    migrations = read(directory)
    database = await connect_pool(
        url, service="migrations", min_size=1, max_size=2, command_timeout_s=_TIMEOUT_S
    )
    try:
        async with database.session() as session:
            await session.execute("select pg_advisory_lock($1)", _LOCK)
            try:
                return await _apply(database, migrations)
            finally:
                await session.execute("select pg_advisory_unlock($1)", _LOCK)
    finally:
        await database.close()


async def _apply(database: Database, migrations: list[Migration]) -> list[str]:
    await database.execute(_PREPARE)
    rows = await database.fetch("select name, sha256 from qm.migrations")
    todo = pending(migrations, {row["name"]: row["sha256"] for row in rows})
    for migration in todo:
        async with database.transaction() as tx:
            await tx.execute(migration.sql)
            await tx.execute(
                "insert into qm.migrations (name, sha256) values ($1, $2)",
                migration.name,
                migration.sha256,
            )
    return [migration.name for migration in todo]


def main() -> int:
    """Migrate the database that the environment names; return the exit status."""
    url = os.environ.get(URL_VARIABLE)
    if not url:
        sys.stderr.write(f"{URL_VARIABLE} is not set: it names the database as its owner\n")
        return 2
    try:
        applied = asyncio.run(migrate(url))
    except QuartermasterError as error:
        sys.stderr.write(f"{error.detail}\n")
        return 1
    sys.stdout.write("".join(f"applied {name}\n" for name in applied) or "nothing to apply\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
