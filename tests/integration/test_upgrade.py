"""A database of the first release, with a log in it, brought to today: everything is still there."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import orjson
import pytest

from contracts.catalogue import TELEMETRY_TYPES
from deploy.local import access
from services.chassis.database import Database, connect_pool
from services.chassis.migrations import DIRECTORY, migrate
from services.journal.adapters.postgres import PostgresLog, arguments
from services.journal.records import Command, Entry
from services.journal.verify import verify
from services.projector.service import project_all
from tests.old_log import FACT
from tests.platform import LogDatabase, _sql
from tests.releases.kept import FIRST, MIGRATIONS_OF_FIRST, log_of
from tests.shared.log import a_stream, command, entry

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from contracts.envelope import Recorded
    from deploy.local.engines import Engines

APPEND_OF_FIRST = "select * from log.append($1,$2,$3,$4,$5,$6,$7,$8,$9,$10,$11,$12,$13)"


@pytest.fixture(scope="module")
async def old(engines: Engines, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Any]:
    """A database of the first release with all that its log held."""
    made = LogDatabase(engines, f"qm_{uuid4().hex[:12]}")
    _sql(engines, f"create database {made.name} owner {access.OWNER}")
    directory: Path = tmp_path_factory.mktemp("first")
    for name in MIGRATIONS_OF_FIRST:
        shutil.copy(DIRECTORY / name, directory)
    assert await migrate(made.owner_url(), directory) == sorted(MIGRATIONS_OF_FIRST)
    journal = await connect_pool(made.url("journal"), service="journal", max_size=2)
    for event in log_of(FIRST):
        await append_as_first(journal, as_command(event))
    await journal.close()
    yield made
    made.drop()


@pytest.fixture(scope="module")
async def upgraded(old: LogDatabase) -> LogDatabase:
    """The same, migrated to today."""
    applied = await migrate(old.owner_url())
    assert len(applied) == len(list(DIRECTORY.glob("*.sql"))) - len(MIGRATIONS_OF_FIRST)
    return old


@pytest.fixture(scope="module")
async def journal(upgraded: LogDatabase) -> AsyncIterator[Database]:
    pool = await connect_pool(upgraded.url("journal"), service="journal", max_size=4)
    yield pool
    await pool.close()


def as_command(event: Recorded) -> Command:
    meta = {name: getattr(event.meta, name) for name in event.meta.__slots__}
    told = orjson.dumps({name: value for name, value in meta.items() if value is not None})
    stored = Entry(
        event.event_id,
        event.stream,
        event.type,
        event.schema_version,
        orjson.dumps(dict(event.data)).decode(),
        told.decode(),
        telemetry=event.type in TELEMETRY_TYPES,
    )
    return Command((stored,))


def an_environment() -> Command:
    stream = a_stream()
    name = stream.partition("/")[2]
    return command(entry(stream, data=FACT.replace("?", name)))


async def append_as_first(pool: Database, what: Command) -> None:
    row: Any = await pool.fetchrow(APPEND_OF_FIRST, *arguments([what]))
    assert row["verdicts"] == [b"a"]


async def test_every_event_is_still_there_as_it_was(journal: Database) -> None:
    rows = await PostgresLog(journal).read(0, 1000)
    before = log_of(FIRST)
    assert len(rows) >= len(before)
    for row, event in zip(rows, before, strict=False):
        there = (row["position"], row["event_id"], row["stream"], row["version"], row["type"])
        assert there == (event.position, event.event_id, event.stream, event.version, event.type)
        assert orjson.loads(row["data"]) == event.data


async def test_the_chain_that_was_begun_goes_on(journal: Database) -> None:
    log = PostgresLog(journal)
    verdicts = await log.append([an_environment()])
    assert verdicts[0].outcome == "appended"
    report = (await verify(log)).as_dict()
    assert report["ok"], report


async def test_the_journal_of_the_release_before_goes_on_until_it_is_replaced(
    journal: Database,
) -> None:
    await append_as_first(journal, an_environment())
    await PostgresLog(journal).append([an_environment()])


async def test_the_read_models_of_today_are_made_of_the_old_log(upgraded: LogDatabase) -> None:
    projector = await connect_pool(upgraded.url("projector"), service="projector", max_size=6)
    owner = await connect_pool(upgraded.owner_url(), service="test", max_size=2)
    try:
        assert await project_all(projector) > 0
        models = [e.data["model_id"] for e in log_of(FIRST) if e.type == "model.registered"]
        shown = await owner.fetch("select key from rm.models")
        assert sorted(row["key"] for row in shown) == sorted(models)
    finally:
        await projector.close()
        await owner.close()


async def test_migrating_again_changes_nothing(upgraded: LogDatabase) -> None:
    assert await migrate(upgraded.owner_url()) == []
