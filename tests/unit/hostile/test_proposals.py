"""Whatever is proposed to the journal or asked of it, it answers and goes on."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.chassis.clock import SystemClock
from services.chassis.errors import Refused
from services.chassis.ids import uuid7
from services.chassis.memory import MemoryBroker
from services.journal.adapters.memory import MemoryLog
from services.journal.adapters.memory_board import jobs_in_memory
from services.journal.handlers import Journal
from services.journal.records import Command, Refusal
from services.journal.validate import judge, proposals_of
from tests.unit.hostile.mutations import WILD, hostile, spoiled

if TYPE_CHECKING:
    from collections.abc import Iterator

NOW = datetime.now(UTC)
EVENT = {
    "event_id": uuid7(),
    "stream": "environment/e",
    "type": "environment.created",
    "schema_version": 1,
    "data": {"environment_id": "e", "name": "x", "description": "y"},
    "occurred_at": "2026-01-01T00:00:00Z",
    "actor": "somebody",
    "expected_version": 0,
    "causation_id": None,
    "correlation_id": "c",
    "trace": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
}
PROPOSALS = {"proposals": [{"events": [EVENT], "lease": {"name": "scheduler", "epoch": 1}}]}
MOMENT = "2026-01-01T00:00:00Z"
QUESTIONS = [
    {"op": "history", "after": 0, "until": 5, "types": ["a.b"], "telemetry_since": MOMENT},
    {"op": "facts", "positions": [1], "stream": "a/b", "through": 5},
    {"op": "moment", "position": 1, "at": MOMENT},
    {"op": "log.export", "after": 0, "through": 5, "types": ["a.b"], "streams": ["a/"]},
    {"op": "log.export", "since": MOMENT, "until": MOMENT},
    {"op": "snapshot.newest", "fingerprint": "x", "position": 1},
    {"op": "job.start", "kind": "backup", "parameters": {"directory": "x"}, "actor": "a"},
    {"op": "job.cancel", "job_id": "job-1"},
    {"op": "head"},
    {"op": "lag"},
]


def messages(sound: Any) -> st.SearchStrategy[bytes]:
    """Return noise, half a message, deep nests, and sound ones out of joint."""
    whole = json.dumps(sound).encode()
    return st.one_of(
        st.binary(max_size=60),
        st.integers(0, len(whole)).map(lambda end: whole[:end]),
        st.integers(1, 100_000).map(
            lambda deep: b'{"proposals":' + b"[" * deep + b"]" * deep + b"}"
        ),
        WILD.map(json.dumps).map(str.encode),
        spoiled(sound).map(json.dumps).map(str.encode),
    )


@hostile
@given(messages(PROPOSALS), st.sampled_from(["gateway", "scheduler", "", "nobody", None]))
def test_whatever_is_proposed_is_a_command_or_refused(body: bytes, proposer: str | None):
    try:
        raw = proposals_of(body)
    except Refused:
        return
    for each in raw:
        assert isinstance(judge(each, proposer, NOW), Command | Refusal)


@pytest.fixture
def runner() -> Iterator[asyncio.Runner]:
    with asyncio.Runner() as made:
        yield made


def test_whatever_is_asked_of_the_journal_is_answered(runner: asyncio.Runner):
    clock, broker = SystemClock(), MemoryBroker()
    log = MemoryLog(clock)
    journal = Journal(broker.bus("journal"), log, clock, jobs_=jobs_in_memory(log))

    @hostile
    @given(st.sampled_from(QUESTIONS).flatmap(messages), st.sampled_from(["gateway", "", None]))
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
