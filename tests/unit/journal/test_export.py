"""Export: page behind page, the lines are the log, whatever is asked for and wherever it begins."""

from datetime import UTC, datetime, timedelta

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.chassis import wire
from services.journal import export
from services.journal.export import ExportQuestion, page
from tests.old_log import made


async def exported(log, **asked) -> list[dict]:
    lines, after = [], asked.pop("after", 0)
    while True:
        headers, body = await page(log, ExportQuestion(after=after, **asked))
        found = body.splitlines()
        assert len(found) == headers["events"]
        lines += found
        after = headers["through"]
        if after >= headers["head"]:
            return [orjson.loads(line) for line in lines]


@pytest.fixture(scope="module")
async def log():
    return await made([3, 2, 1], facts=4, samples=4)


async def test_an_export_is_the_log_byte_for_byte(log, monkeypatch):
    monkeypatch.setattr(export, "PAGE_EVENTS", 5)
    body = b""
    after = 0
    while after < 24:
        headers, lines = await page(log, ExportQuestion(after=after))
        body, after = body + lines, headers["through"]
    assert body == b"".join(wire.recorded_bytes(row) + b"\n" for row in log._rows)


@given(
    st.integers(1, 7),
    st.integers(1, 9),
    st.integers(0, 30),
    st.none() | st.integers(0, 30),
    st.none() | st.just(["queue.sampled"]),
    st.none() | st.sampled_from([["environment/1"], ["environment/"], ["no/such"]]),
)
async def test_pages_of_any_size_hold_all_that_is_asked_for_and_nothing_else(
    events, span, after, through, types, streams
):
    log = await made([3, 2, 1], facts=4, samples=4)
    whole = (export.PAGE_EVENTS, export.PAGE_SPAN)
    export.PAGE_EVENTS, export.PAGE_SPAN = events, span
    try:
        found = await exported(log, after=after, through=through, types=types, streams=streams)
    finally:
        export.PAGE_EVENTS, export.PAGE_SPAN = whole
    wanted = [
        row["position"]
        for row in log._rows
        if row["position"] > after
        and (through is None or row["position"] <= through)
        and (types is None or row["type"] in types)
        and (streams is None or any(row["stream"].startswith(name) for name in streams))
    ]
    assert [event["position"] for event in found] == wanted


async def test_times_bound_an_export_from_and_up_to(log):
    noon = datetime.now(UTC).replace(hour=12, minute=0, second=0, microsecond=0)
    found = await exported(
        log, since=noon - timedelta(days=2), until=noon - timedelta(days=1, hours=-1)
    )
    assert {event["recorded_at"][:10] for event in found} == {
        f"{noon - timedelta(days=ago):%Y-%m-%d}" for ago in (1, 2)
    }
    assert len(found) == 16


async def test_a_page_stays_small(log, monkeypatch):
    monkeypatch.setattr(export, "PAGE_BYTES", 1000)
    sizes = []
    after = 0
    while after < 24:
        headers, lines = await page(log, ExportQuestion(after=after))
        sizes.append(len(lines))
        after = headers["through"]
    assert max(sizes) <= 1000
    assert len(sizes) > 5
