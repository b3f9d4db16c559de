"""The judge: whatever is proposed, it answers; nothing it lets pass can break the log."""

from datetime import UTC, datetime

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.chassis.ids import uuid7
from services.journal.records import Command, Refusal
from services.journal.validate import judge

NOW = datetime.now(UTC)


def event(**changes):
    fields = {
        "event_id": uuid7(),
        "stream": "environment/e",
        "type": "environment.created",
        "schema_version": 1,
        "data": {"environment_id": "e", "name": "x"},
        "occurred_at": "2026-01-01T00:00:00Z",
        "actor": "somebody",
    }
    return fields | changes


def sample(**changes):
    data = {"model_id": "m", "length": 1, "ready": 1, "unacknowledged": 0}
    return event(type="queue.sampled", stream="queue-samples/m", data=data, **changes)


def judged(*events, by="gateway", **more):
    return judge({"events": list(events), **more}, by, NOW)


def nested(depth: int) -> object:
    return orjson.loads(b"[" * depth + b"]" * depth)


def test_a_sound_proposal_becomes_a_command():
    assert isinstance(judged(event(), event()), Command)
    assert isinstance(judged(sample(), by="queue_sampler"), Command)


def test_an_id_that_comes_twice_in_one_proposal_is_refused():
    same = event()
    refusal = judged(same, event(event_id=same["event_id"], stream="environment/f"))
    assert (refusal.code, "events.1.event_id" in refusal.detail) == ("invalid", True)


def test_data_that_cannot_be_written_again_is_refused():
    data = {"environment_id": "e", "name": "x", "deep": nested(400)}
    assert judged(event(data=data)).code == "invalid"


@pytest.mark.parametrize(
    ("changes", "by"),
    [
        ({"type": "environment.created", "stream": "queue-samples/m"}, "gateway"),
        ({"type": "environment.created", "stream": "node-reports/n"}, "gateway"),
    ],
)
def test_a_fact_never_lands_in_a_stream_of_telemetry(changes, by):
    assert judged(event(**changes), by=by).code == "invalid"


def test_telemetry_never_lands_in_a_stream_of_facts():
    assert judged({**sample(), "stream": "queue/m"}, by="queue_sampler").code == "invalid"


@pytest.mark.parametrize("stream", ["lease/scheduler", "lease/gateway"])
def test_only_an_acquisition_is_recorded_on_a_lease(stream):
    assert judged(event(stream=stream)).code == "not_allowed"


@pytest.mark.parametrize("by", [None, ""])
def test_a_proposal_without_its_sender_is_refused(by):
    assert judged(event(), by=by).code == "unsigned"


@pytest.mark.parametrize("text", ["a\\u0000b", "\\\\u0000", "C:\\u0000"])
def test_a_backslash_before_u0000_is_a_text_like_any_other(text):
    found = judged(event(data={"environment_id": "e", "name": "x", "more": text}))
    assert isinstance(found, Command)


@pytest.mark.parametrize("text", ["\x00", "\\\x00", "\\\\\x00", "a\x00"])
def test_nul_is_refused_wherever_it_stands(text):
    data = {"environment_id": "e", "name": "x", "more": {"deep": [text]}}
    assert "NUL" in judged(event(data=data)).detail


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=10,
)
odd_events = st.fixed_dictionaries(
    {},
    optional={name: json_values | st.just(value) for name, value in event().items()},
)


@given(st.lists(odd_events, max_size=3) | json_values, json_values)
def test_whatever_is_proposed_is_judged(events, lease):
    assert isinstance(judge({"events": events, "lease": lease}, "gateway", NOW), (Command, Refusal))
