"""Verification on PostgreSQL: whatever is changed, taken away or rewound is named."""

from datetime import UTC, datetime

import pytest

from services.chassis.database import connect_pool
from services.chassis.errors import Bug
from services.journal.adapters.postgres import PostgresLog
from services.journal.adapters.postgres_window import PostgresWindow
from services.journal.verify import verify
from services.journal.window import forget
from tests.old_log import made, put

NOW = datetime.now(UTC)
AS_NOBODY_EVER_DOES = "set session_replication_role = replica; "


TABLES = (
    "log.facts",
    "log.telemetry",
    "log.seals",
    "log.telemetry_heads",
    "log.cursors",
    "rm.checkpoints",
)
KEEP = "create schema kept; " + "".join(
    f"create table kept.{table.partition('.')[2]} as table {table}; " for table in TABLES
)
PUT_BACK = AS_NOBODY_EVER_DOES + "".join(
    f"delete from {table}; insert into {table} table kept.{table.partition('.')[2]}; "
    for table in TABLES
)


@pytest.fixture(scope="module")
async def made_log(database):
    """A log with two seals: facts 1 3 5, 9 11 13, 17 19 21, seals at 25 and 26."""
    owner = await connect_pool(database.owner_url(), service="test", min_size=1, max_size=2)
    await put(owner, await made([40, 35, 10]))
    await owner.close()
    pool = await connect_pool(database.url("journal"), service="journal", min_size=2, max_size=4)
    log = PostgresLog(pool)
    await forget(PostgresWindow(pool), NOW, window_days=30, published=await log.cursor())
    database.superuser_sql(KEEP)
    yield log
    await pool.close()


@pytest.fixture
def log(database, made_log):
    """The same log for each: what was done to it is put back."""
    yield made_log
    database.superuser_sql(PUT_BACK)


CHANGES = [
    ('update log.facts set data = \'{"name":"X"}\' where position = 11', 11, "hash"),
    (
        "update log.facts set hash = set_byte(hash, 3, 255 - get_byte(hash, 3)) where position = 9",
        9,
        "hash",
    ),
    ("update log.facts set version = 77 where position = 13", 13, "version"),
    ("update log.facts set stream = 'environment/9' where position = 17", 17, "environment/9"),
    ("update log.facts set meta = '{}' where position = 1", 1, "hash"),
    (
        "update log.facts set recorded_at = recorded_at - interval '60 days' where position = 19",
        19,
        "recorded",
    ),
    ("delete from log.facts where position = 21", 22, "position 21 is missing"),
    ("delete from log.facts where position = 11", 13, "hash"),
    ("update log.telemetry set data = '{}' where position = 20", 20, "hash"),
    ("delete from log.telemetry where position = 23", 24, "position 23 is missing"),
    ("update log.seals set last_hash = 'x' where sealed_by = 25", 25, "last_hash"),
    ("update log.seals set events = 4 where sealed_by = 26", 26, "events"),
    ("delete from log.seals where sealed_by = 25", 3, "position 2 is missing"),
    ("update log.telemetry_heads set version = 3", None, "again"),
]


@pytest.mark.parametrize(("change", "position", "said"), CHANGES)
async def test_every_change_is_named(database, log, change, position, said):
    assert (await verify(log)).ok
    database.superuser_sql(AS_NOBODY_EVER_DOES + change)
    report = await verify(log)
    assert (report.ok, report.position) == (False, position)
    assert said in report.problem


async def test_a_log_without_its_newest_events_was_rewound_and_says_who_saw_more(database, log):
    row = (await log.read(25, 1))[0]
    await log.move_cursor(24, 26, row["event_id"])
    database.superuser_sql(
        f"update rm.checkpoints set position = 26, event_id = '{row['event_id']}';"
        + AS_NOBODY_EVER_DOES
        + "delete from log.facts where position > 21"
    )
    report = await verify(log)
    assert not report.ok
    assert len(report.rewinds) == 2
    assert any("the checkpoint rm stands at 26" in rewind for rewind in report.rewinds)
    with pytest.raises(Bug, match="rewound"):
        await log.cursor()


async def test_a_checkpoint_in_a_dropped_day_is_not_called_rewound(database, log):
    database.superuser_sql(
        "update rm.checkpoints set position = 4, event_id = '01932d5e-7b1c-7c3a-9f00-2b6a4d1e8c55'"
    )
    report = await verify(log)
    assert (report.ok, report.rewinds) == (True, [])
