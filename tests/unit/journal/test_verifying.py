"""Verification: a sound log passes, any change is named by its first bad position."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.journal.adapters.memory import MemoryLog
from services.journal.records import Seal
from services.journal.verify import Checker, verify
from tests.shared.log import command, entry

DAY_S = 86_400


class Days:
    """A clock that goes on by so many days whenever it is looked at."""

    def __init__(self, step_days: float = 0.0) -> None:
        self.moment = datetime(2026, 1, 1, 12, tzinfo=UTC)
        self.step = timedelta(days=step_days)

    def now(self) -> datetime:
        self.moment += self.step
        return self.moment


async def a_log(kinds, step_days: float = 0.0) -> MemoryLog:
    log = MemoryLog(Days(step_days))
    for number, is_telemetry in enumerate(kinds):
        stream = f"{'queue-samples' if is_telemetry else 'environment'}/{number % 3}"
        await log.append([command(entry(stream, telemetry=is_telemetry))])
    return log


@given(st.lists(st.booleans(), max_size=30), st.sampled_from([0.0, 0.3, 1.0]))
async def test_a_sound_log_of_many_days_passes(kinds, step_days):
    report = await verify(await a_log(kinds, step_days))
    assert (report.ok, report.checked, report.head) == (True, len(kinds), len(kinds))


CHANGES = {
    "data": b'{"name":"z"}',
    "meta": b"{}",
    "stream": "environment/other",
    "type": "environment.deleted",
    "version": 40,
    "schema_version": 2,
    "event_id": "00000000-0000-7000-8000-000000000000",
    "hash": b"?" * 32,
    "recorded_at": datetime(2025, 1, 1, tzinfo=UTC),
}


@pytest.mark.parametrize("field", CHANGES)
@given(st.integers(0, 11))
async def test_any_changed_field_is_found_where_it_was_changed(field, place):
    log = await a_log([n % 3 == 0 for n in range(12)])
    log._rows[place][field] = CHANGES[field]
    report = await verify(log)
    assert (report.ok, report.position) == (False, place + 1)


@given(st.integers(0, 10))
async def test_a_row_that_was_taken_out_is_missed(place):
    log = await a_log([False] * 12)
    del log._rows[place]
    report = await verify(log)
    assert (report.ok, report.position) == (False, place + 2)
    assert f"position {place + 1} is missing" in report.problem


def sealed(log: MemoryLog, partition: str) -> Seal:
    """Drop a partition's rows as the database would, and return its seal."""
    own = [row["position"] for row in log._rows if row["telemetry"] == partition]
    log._rows = [row for row in log._rows if row["telemetry"] != partition]
    return Seal(own[0], own[-1], len(own))


def walked(log: MemoryLog, seals: list[Seal]):
    checker = Checker(seals)
    for row in log._rows:
        if not checker.check(row):
            return checker.report
    return checker.finish()


@given(st.lists(st.booleans(), min_size=4, max_size=30), st.integers(1, 3))
async def test_dropped_partitions_leave_seals_and_the_log_stays_sound(kinds, dropped):
    log = await a_log(kinds, 0.3)
    partitions = sorted({row["telemetry"] for row in log._rows if row["telemetry"]})
    seals = [sealed(log, partition) for partition in partitions[:dropped]]
    report = walked(log, seals)
    assert (report.ok, report.head) == (True, len(kinds))


@pytest.mark.parametrize("lost", [1, 4, 6, 8])
async def test_a_seal_does_not_cover_for_a_fact_that_is_gone(lost):
    log = await a_log([False, False, True, False, True, False, True, False], 0.0)
    seal = sealed(log, log._rows[2]["telemetry"])
    log._rows = [row for row in log._rows if row["position"] != lost]
    report = walked(log, [seal])
    assert report.ok is (lost == 8)  # who takes the tail is found by the cursor, not by the chain
