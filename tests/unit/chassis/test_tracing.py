"""Spans cross the log: what an event leads to belongs to its trace; nobody listens, nothing is done."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from contracts.envelope import Draft, Meta, Recorded
from contracts.events.environment import EnvironmentCreated
from services.chassis import exporting, spans, telemetry, tracing
from services.chassis.clock import LogClock
from services.chassis.errors import Conflict
from services.chassis.folding import Folding
from services.chassis.follower import Follower
from services.chassis.proposer import Proposer
from tests.in_memory import a_world, ended

if TYPE_CHECKING:
    from collections.abc import Iterator

    from opentelemetry.sdk.trace import ReadableSpan

NOON = datetime(2026, 5, 4, 12, tzinfo=UTC)
ELSEWHERE = f"00-{1:032x}-{2:016x}-01"
CANARY = "canary-Zx81kQ"


@pytest.fixture
def made() -> Iterator[InMemorySpanExporter]:
    """Everything that is traced while the test runs; nothing is traced after it."""
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    tracing.use(provider.get_tracer("test"))
    yield exporter
    tracing.use(None)


def created(name: str = "e", **changes: object) -> Draft:
    draft = Draft(f"environment/{name}", EnvironmentCreated(environment_id=name, name="x"))
    return replace(draft, **changes)  # type: ignore[arg-type]


def recorded(event_id: str, trace: str | None) -> Recorded:
    meta = Meta("ada", NOON.isoformat(), "gateway", trace=trace)
    return Recorded(1, event_id, "environment/e", 1, "environment.created", 1, {}, NOON, meta)


def trace_id(span: ReadableSpan) -> int:
    assert span.context is not None
    return span.context.trace_id


async def test_an_event_carries_the_span_that_proposed_it_and_its_append_belongs_to_it(
    made: InMemorySpanExporter,
) -> None:
    async with a_world() as world:
        proposer = Proposer(world.broker.bus("gateway"), "gateway", world.clock)
        with tracing.span("POST /environments") as command:
            assert command is not None
            await proposer.propose(created())
    sent = next(span for span in made.get_finished_spans() if span.name == "send qm.proposed")
    append = next(s for s in made.get_finished_spans() if s.name == "process journal.proposed")
    assert sent.parent is not None
    assert sent.parent.span_id == command.get_span_context().span_id
    assert append.parent is not None
    assert sent.context is not None
    assert append.parent.span_id == sent.context.span_id
    assert append.attributes is not None
    assert append.attributes["quartermaster.outcome"] == "appended"


async def test_what_is_proposed_because_of_an_event_belongs_to_its_trace(
    made: InMemorySpanExporter,
) -> None:
    async with a_world() as world:
        first = await Proposer(world.broker.bus("gateway"), "gateway", world.clock).propose(
            created("first")
        )
        bus, types = world.broker.bus("scheduler"), frozenset({"environment.created"})
        folding = Folding(
            Follower(bus, "scheduler", types, world.clock), lambda _: None, LogClock(world.clock)
        )
        running = asyncio.create_task(folding.run())
        await folding.reach(first.position)
        later = created("later", causation_id=first.event_ids[0])
        await Proposer(world.broker.bus("gateway"), "gateway", world.clock).propose(later)
        await ended(running)
    finished = [span for span in made.get_finished_spans() if span.name == "send qm.proposed"]
    assert trace_id(finished[0]) == trace_id(finished[1])


def test_a_decision_lies_between_its_cause_and_what_is_proposed(made: InMemorySpanExporter) -> None:
    tracing.remember(recorded("cause", ELSEWHERE))
    decided = spans.decided(
        [(created(causation_id="cause"),)], NOON, NOON + timedelta(seconds=1), 3
    )
    with spans.proposing(decided) as spanned:
        carried = spanned.trace(0)
    decision, sent = made.get_finished_spans()
    assert decision.name == "decide environment.created"
    assert trace_id(decision) == trace_id(sent) == 1
    assert decision.end_time is not None
    assert decision.start_time is not None
    assert decision.end_time - decision.start_time == 1_000_000_000
    assert sent.parent is not None
    assert decision.context is not None
    assert sent.parent.span_id == decision.context.span_id
    assert carried is not None
    assert carried.startswith(f"00-{1:032x}-")


def test_a_refused_proposal_says_so_without_the_words_of_the_refusal(
    made: InMemorySpanExporter,
) -> None:
    with spans.proposing([(created(),)]) as spanned:
        spanned.settle([Conflict(f"the password {CANARY} is wrong")])
    (sent,) = made.get_finished_spans()
    assert not sent.status.is_ok
    assert sent.attributes is not None
    assert sent.attributes["error.type"] == "conflict"
    assert CANARY not in sent.to_json()


def test_what_leaves_a_process_holds_no_secret(made: InMemorySpanExporter) -> None:
    told: tracing.Attributes = {
        "url.query": f"token={CANARY}",
        "api_key": CANARY,
        "detail": f"amqp://user:{CANARY}@host/ and Bearer {CANARY}",
        "http.route": "/models",
    }
    with pytest.raises(ValueError, match=CANARY), tracing.span("a step", told):
        raise ValueError(CANARY)
    (span,) = made.get_finished_spans()
    clean = exporting.clean(span)
    assert CANARY not in clean.to_json()
    assert clean.attributes is not None
    assert clean.attributes["http.route"] == "/models"
    assert not clean.status.is_ok


def test_only_so_many_causes_are_remembered(
    made: InMemorySpanExporter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tracing, "REMEMBERED", 2)
    for name in "abc":
        tracing.remember(recorded(name, ELSEWHERE))
    assert [tracing.trace_of(name) for name in "abc"] == [None, ELSEWHERE, ELSEWHERE]


def test_a_trace_that_makes_no_sense_begins_a_new_one(made: InMemorySpanExporter) -> None:
    with spans.appending([("environment.created", "environment/e", "not a trace")]):
        pass
    assert len(made.get_finished_spans()) == 1


async def test_without_a_collector_nothing_is_made_remembered_or_sent(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv(telemetry.ENDPOINT, raising=False)
    told = telemetry.configure("gateway")
    assert told.ship is None
    tracing.remember(recorded("cause", ELSEWHERE))
    assert tracing.trace_of("cause") is None
    assert spans.proposing([(created(),)]) is spans.appending([]) is spans.NONE
    drafts = [(created(),)]
    assert spans.decided(drafts, NOON, NOON, 1) is drafts
    with tracing.span("a step") as span, tracing.calling("GET", "host", 80) as call:
        assert span is None
        assert call.headers == {}
    told.shut_down()
    async with a_world() as world:
        await Proposer(world.broker.bus("gateway"), "gateway", world.clock).propose(created())
        assert b'"trace"' not in world.log._rows[0]["meta"]
