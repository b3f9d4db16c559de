"""The log in memory and the log in PostgreSQL give the same verdicts on the same commands."""

import asyncio

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from contracts.envelope import Lease
from services.chassis.clock import SystemClock
from services.chassis.database import connect_pool
from services.chassis.ids import uuid7
from services.journal.adapters.memory import MemoryLog
from services.journal.adapters.postgres import PostgresLog
from services.journal.append import _Batch, _Call, _Waiting, next_batch
from services.journal.verify import verify
from tests.shared.log import command, entry


@pytest.fixture(scope="module")
async def log(database):
    pool = await connect_pool(database.url("journal"), service="journal", min_size=1, max_size=2)
    log = PostgresLog(pool)
    await log.make_partitions()
    yield log
    await pool.close()


# (which id, which stream, expected version or None, telemetry, other content)
plans = st.lists(
    st.tuples(
        st.lists(
            st.tuples(
                st.integers(0, 25),
                st.sampled_from(["environment/a", "environment/b", "lease/x", "queue-samples/q"]),
                st.none() | st.integers(0, 4),
                st.booleans(),
            ),
            min_size=1,
            max_size=3,
            unique_by=lambda one: one[0],
        ),
        st.none() | st.integers(0, 3),
    ),
    min_size=1,
    max_size=25,
)


def commands_of(plan):
    """Return the plan's commands on ids and streams of their own; an id keeps its class."""
    run, ids = uuid7(), [uuid7() for _ in range(26)]
    telemetry_ids = set(ids[::3])
    for events, epoch in plan:
        entries = []
        for number, stream, expected, is_other in events:
            telemetry = ids[number] in telemetry_ids
            name = f"queue-samples/{run}" if telemetry else f"{stream}-{run}"
            entries.append(
                entry(
                    name,
                    event_id=ids[number],
                    telemetry=telemetry,
                    expected=None if telemetry else expected,
                    data='{"name":"other"}' if is_other else '{"name":"x"}',
                )
            )
        yield command(*entries, lease=None if epoch is None else Lease(f"x-{run}", epoch))


def batches(those):
    from collections import deque

    call = _Call([None] * len(those), None)
    waiting = deque(_Waiting(one, call, place) for place, one in enumerate(those))
    while waiting:
        yield [item.command for item in next_batch(waiting, _Batch())]


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(plan=plans)
async def test_both_logs_give_the_same_verdicts(log, plan):
    memory, base = MemoryLog(SystemClock()), (await log.head()).position
    for batch in batches(list(commands_of(plan))):
        stored, remembered = await asyncio.gather(log.append(batch), memory.append(batch))
        for real, model in zip(stored, remembered, strict=True):
            assert real.outcome == model.outcome
            assert tuple(p - base for p in real.positions) == model.positions
            assert real.versions == model.versions
            assert real.current == model.current
            if real.outcome in ("conflict", "fenced"):
                assert real.stream == model.stream
    rows, kept = await log.read(base, 5000), await memory.read(0, 5000)
    fields = ("event_id", "stream", "version", "type", "data", "meta")
    assert [[row[f] for f in fields] for row in rows] == [[row[f] for f in fields] for row in kept]


async def test_after_all_of_it_the_log_is_sound(log):
    report = await verify(log)
    assert (report.ok, report.problem) == (True, None)
