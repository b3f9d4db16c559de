"""Verification: a sound log passes, any change is named by its first bad position."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.journal.adapters.memory import MemoryLog
from services.journal.records import Seal
from services.journal.verify import Checker, Standing, verify
from services.journal.window import Measured, fact
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


async def sealed(log: MemoryLog, partition: str) -> Seal:
    """Record the fact that seals a partition."""
    own = [row for row in log._rows if row["telemetry"] == partition]
    first, last, chain = own[0]["position"], own[-1]["position"], own[-1]["hash"]
    measured = Measured(partition, first, last, len(own), chain)
    verdict = (await log.append([fact(measured, datetime.now(UTC), 30)]))[0]
    return Seal(first, last, len(own), partition, chain, verdict.positions[0])


def left(log: MemoryLog, seals: list[Seal]) -> list:
    """Return the rows that are left once these partitions are dropped."""
    gone = {seal.partition for seal in seals}
    return [row for row in log._rows if row["telemetry"] not in gone]


def walked(log: MemoryLog, seals: list[Seal]):
    checker = Checker(seals)
    for row in log._rows:
        if not checker.check(row):
            return checker.report
    return checker.finish()


async def a_sealed_log(kinds=(False, False, True, False, True, False, True, False)):
    log = await a_log(kinds)
    seal = await sealed(log, next(row["telemetry"] for row in log._rows if row["telemetry"]))
    log._rows = left(log, [seal])
    return log, seal


@given(st.lists(st.booleans(), min_size=4, max_size=30), st.integers(1, 3))
async def test_dropped_partitions_leave_seals_and_the_log_stays_sound(kinds, dropped):
    log = await a_log(kinds, 0.3)
    partitions = sorted({row["telemetry"] for row in log._rows if row["telemetry"]})[:dropped]
    seals = [await sealed(log, partition) for partition in partitions]
    log._rows = left(log, seals)
    report = walked(log, seals)
    assert (report.ok, report.problem, report.seals) == (True, None, len(seals))
    assert report.head == len(kinds) + len(seals)


@pytest.mark.parametrize("lost", [1, 4, 6, 8])
async def test_a_seal_does_not_cover_for_a_fact_that_is_gone(lost):
    log, seal = await a_sealed_log()
    log._rows = [row for row in log._rows if row["position"] != lost]
    assert not walked(log, [seal]).ok


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"last_hash": b"?" * 32}, "last_hash"),
        ({"events": 2}, "events"),
        ({"first": 4}, "is missing"),
        ({"last": 9}, "last_position"),
        ({"sealed_by": 5}, "no fact at 5"),
        ({"partition": "telemetry_19990101"}, "telemetry_19990101"),
    ],
)
async def test_a_seal_must_say_what_its_fact_says(change, said):
    log, seal = await a_sealed_log()
    report = walked(log, [replace(seal, **change)])
    assert not report.ok
    assert said in report.problem


async def test_a_seal_that_is_gone_is_missed():
    log, _ = await a_sealed_log()
    assert walked(log, []).problem == "position 3 is missing"
    undropped = await a_log([False, True])
    await sealed(undropped, undropped._rows[1]["telemetry"])
    assert "has no seal" in walked(undropped, []).problem


async def test_a_sealed_partition_that_is_still_there_is_found():
    log, seal = await a_sealed_log()
    log._rows = (await a_log([False, False, True]))._rows + log._rows[2:]
    report = walked(log, [seal])
    assert (report.ok, report.position) == (False, 3)


async def test_a_partition_dropped_while_the_log_is_walked_is_no_fault():
    log = await a_log([False, True, True, False, True])
    checker = Checker([])
    for row in log._rows[:2]:
        assert checker.check(row)
    seal = await sealed(log, log._rows[1]["telemetry"])
    checker.see([seal])
    for row in [row for row in left(log, [seal]) if row["position"] > 2]:
        assert checker.check(row)
    assert checker.finish().ok


async def a_log_whose_first_day_goes_during_the_walk():
    """Return who walked half a day of a log before it was dropped, and the rows that are left."""
    log = await a_log([])
    for day in (1, 1, 1, 2, 2):
        log._clock.moment = datetime(2026, 1, day, 12, tzinfo=UTC)
        for is_telemetry in (True, False):
            stream = "queue-samples/0" if is_telemetry else "environment/0"
            await log.append([command(entry(stream, telemetry=is_telemetry))])
    checker = Checker([])
    for row in log._rows[:2]:
        assert checker.check(row)
    seal = await sealed(log, log._rows[0]["telemetry"])
    checker.see([seal])
    return checker, [row for row in left(log, [seal]) if row["position"] > 2]


async def test_a_stream_goes_on_behind_what_was_dropped_of_it_while_the_log_is_walked():
    checker, rest = await a_log_whose_first_day_goes_during_the_walk()
    assert [row["version"] for row in rest if row["telemetry"]] == [4, 5]
    for row in rest:
        assert checker.check(row), checker.report.problem
    assert checker.finish().ok
    assert checker.version_of("queue-samples/0") == 5


@pytest.mark.parametrize(("number", "version"), [(0, 1), (0, 0), (1, 6), (1, 4)])
async def test_what_was_dropped_excuses_no_version_that_goes_back_or_jumps_behind_it(
    number, version
):
    checker, rest = await a_log_whose_first_day_goes_during_the_walk()
    wrong = [row for row in rest if row["telemetry"]][number]
    wrong["version"] = version
    assert not all(checker.check(row) for row in rest)
    assert checker.report.position == wrong["position"]
    assert f"to {version}" in checker.report.problem


@pytest.mark.parametrize(
    ("standing", "said"),
    [
        (Standing("the cursor", 9, "a", None), "the log ends at 8"),
        (Standing("the cursor", 5, "a", "b"), "holds b there"),
        (Standing("the cursor", 5, "a", None), "which is gone"),
        (Standing("the cursor", 5, "a", "a"), None),
        (Standing("the cursor", 5, "a", None, is_sealed=True), None),
        (Standing("the cursor", 0, None, None), None),
    ],
)
def test_who_stands_on_another_event_saw_another_log(standing, said):
    rewind = standing.rewind(8)
    assert rewind is None if said is None else said in rewind
