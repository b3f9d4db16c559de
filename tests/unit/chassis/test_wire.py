"""The wire: what was recorded arrives as it was recorded."""

from datetime import UTC, datetime, timedelta, timezone

import orjson
from hypothesis import given
from hypothesis import strategies as st

from contracts.envelope import Meta, Recorded
from services.chassis import wire

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=8,
)
metas = st.builds(
    Meta,
    texts,
    texts,
    texts,
    st.none() | texts,
    st.none() | texts,
    st.none() | texts,
    st.none() | texts,
    st.none() | st.integers(1, 2**53),
)
events = st.builds(
    Recorded,
    st.integers(1, 2**53),
    texts,
    texts,
    st.integers(1, 2**53),
    st.sampled_from(["a.a", "b.b"]),
    st.integers(1, 9),
    st.dictionaries(texts, values, max_size=3),
    st.integers(0, 4 * 10**15).map(lambda us: EPOCH + timedelta(microseconds=us)),
    metas,
)


def stored(event: Recorded) -> dict:
    """Return the row as a log keeps it."""
    names = ("position", "event_id", "stream", "version", "type", "schema_version", "recorded_at")
    meta = {name: getattr(event.meta, name) for name in Meta.__slots__}
    kept = {name: value for name, value in meta.items() if value is not None}
    return {name: getattr(event, name) for name in names} | {
        "data": orjson.dumps(event.data),
        "meta": orjson.dumps(kept),
    }


@given(st.lists(events, max_size=5))
def test_a_run_arrives_as_it_was_recorded(those):
    body = wire.encode_run(wire.recorded_bytes(stored(event)) for event in those)
    assert list(wire.decode_run(body)) == those
    wanted = [event for event in those if event.type == "a.a"]
    assert list(wire.decode_run(body, frozenset({"a.a"}))) == wanted


def test_a_moment_keeps_its_zone():
    moment = datetime(2026, 1, 1, 12, 30, 1, 5, tzinfo=timezone(timedelta(hours=5)))
    event = Recorded(1, "id", "s/1", 1, "a.a", 1, {}, moment, Meta("a", "b", "c"))
    body = wire.encode_run([wire.recorded_bytes(stored(event))])
    assert next(wire.decode_run(body)).recorded_at == moment
