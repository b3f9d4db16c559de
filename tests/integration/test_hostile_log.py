"""What the judge lets pass, and whatever is asked, does not break the journal on a real log."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.chassis.clock import SystemClock
from services.chassis.database import connect_pool
from services.chassis.errors import Refused
from services.chassis.ids import uuid7
from services.chassis.memory import MemoryBroker
from services.journal.adapters.postgres import PostgresLog
from services.journal.adapters.postgres_board import PostgresBoard
from services.journal.adapters.workers import worker
from services.journal.handlers import Journal
from services.journal.jobs import Jobs
from services.journal.records import Command
from services.journal.validate import judge
from tests.unit.hostile.mutations import hostile, spoiled
from tests.unit.hostile.test_proposals import EVENT, QUESTIONS, messages

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

SAMPLE = {
    **{name: EVENT[name] for name in ("event_id", "occurred_at", "actor", "trace")},
    "stream": "queue-samples/m",
    "type": "queue.sampled",
    "data": {"model_id": "m", "length": 1, "ready": 1, "unacknowledged": 0, "more": {"a": [1]}},
}
ASKERS = st.sampled_from(["gateway", "scheduler", "", None])


@pytest.fixture
def runner() -> Iterator[asyncio.Runner]:
    with asyncio.Runner() as made:
        yield made


@pytest.fixture
def pool(database: Any, runner: asyncio.Runner) -> Iterator[Any]:
    url = database.url("journal")
    made = runner.run(connect_pool(url, service="journal", min_size=1, max_size=3))
    yield made
    runner.run(made.close())


def test_what_the_judge_lets_pass_the_log_can_hold(pool: Any, runner: asyncio.Runner):
    log, clock = PostgresLog(pool), SystemClock()
    runner.run(log.make_partitions())
    held = []

    @hostile
    @given(st.sampled_from([("gateway", EVENT), ("queue_sampler", SAMPLE)]), st.data())
    def whatever(sent: tuple[str, dict[str, Any]], data: st.DataObject) -> None:
        proposer, sound = sent
        spoilt = data.draw(spoiled([{**sound, "event_id": uuid7()}]))
        command = judge({"events": spoilt}, proposer, clock.now())
        if isinstance(command, Command):
            held.extend(runner.run(log.append([command])))

    whatever()
    assert {"appended"} <= {verdict.outcome for verdict in held}


def test_whatever_is_asked_of_the_log_is_answered(pool: Any, runner: asyncio.Runner):
    clock, log = SystemClock(), PostgresLog(pool)
    jobs = Jobs(PostgresBoard(pool), worker)
    journal = Journal(MemoryBroker().bus("journal"), log, clock, jobs_=jobs)

    @hostile
    @given(st.sampled_from(QUESTIONS).flatmap(messages), ASKERS)
    def whatever(body: bytes, user: str | None) -> None:
        async def ask() -> None:
            try:
                headers, answer = await journal._read(body, user)
            except Refused:
                return
            assert isinstance(headers, dict)
            assert isinstance(answer, bytes)

        runner.run(ask())

    whatever()
