"""Events as they are recorded, over real sockets: in order, once, resumed, filtered, bounded."""

from __future__ import annotations

import asyncio
import socket

import httpx2
import orjson
import pytest

from contracts.envelope import Draft
from contracts.events.node import NodeHeartbeat
from contracts.events.queue import QueueSampled
from tests.gateway_door import TOKEN
from tests.in_memory import until
from tests.served_door import Served, a_served_door, reading

FILLER = "x" * 30_000
CHOICES = {
    "?type=environment.*": {"environment.created"},
    "?type=environment.created,name.*": {"environment.created", "name.claimed"},
    "?type=node.heartbeat&type=name.claimed": {"node.heartbeat", "name.claimed"},
    "?types=queue.sampled": {"queue.sampled"},
    "?stream=node-reports/*": {"node.heartbeat"},
    "?stream=node-reports/": {"node.heartbeat"},
    "?stream=queue-samples/m-?": {"queue.sampled"},
    "?stream=node-reports/n-1,queue-samples/m-1": {"node.heartbeat", "queue.sampled"},
    "?type=node.*&stream=queue-samples/*": set(),
}
WRONG = {
    "?type=no.such": "type",
    "?stream=" + "*a" * 50: "stream",
    "?types=nope*": "types",
    "?after=-1": "after",
    "?after=soon": "after",
    "?after=" + "9" * 400: "after",
    "?type=" + "a," * 1500: "type",
    "?stream=" + ",".join(f"node/{n}" for n in range(60)): "stream",
}


@pytest.fixture
async def served():
    async with a_served_door(stream_kept_events=200, stream_heartbeat_s=0.2) as door:
        yield door


async def heartbeats(served: Served, count: int, node: str = "n-1") -> int:
    """Record so many events; return the last position."""
    drafts = [Draft(f"node-reports/{node}", NodeHeartbeat(node_id=node)) for _ in range(count)]
    return await served.door.world.record("gateway", *drafts)


async def test_what_is_recorded_is_told_in_order_and_once(served: Served):
    async with reading(served) as reader:
        assert reader.response.headers["content-type"].startswith("text/event-stream")
        assert reader.response.headers["cache-control"] == "no-store"
        id_ = await served.door.an_environment("production")
        events = await reader.until_events(2)
        assert [each.event for each in events] == ["name.claimed", "environment.created"]
        assert reader.ids == [1, 2]
        assert events[1].data["stream"] == f"environment/{id_}"
        assert events[1].data["data"]["name"] == "production"
        assert events[1].data["meta"]["actor"] == "api"


async def test_a_client_that_comes_back_misses_nothing_and_hears_nothing_twice(served: Served):
    async with reading(served) as reader:
        await heartbeats(served, 5)
        await reader.until_events(5)
        last = reader.last_id
    await heartbeats(served, 7)
    async with reading(served, **{"last-event-id": str(last)}) as again:
        await again.until_events(7)
        await heartbeats(served, 1)
        await again.until_events(8)
        assert again.ids == list(range(6, 14))


async def test_what_is_not_kept_any_more_comes_from_the_log(served: Served):
    await heartbeats(served, 1)
    for _ in range(6):
        await heartbeats(served, 100)
    await until(lambda: served.live.feed.floor > 300, "older events are forgotten")
    async with reading(served, "?after=3") as reader:
        await reader.until_events(598)
        await heartbeats(served, 3)
        await reader.until_events(601)
        assert reader.ids == list(range(4, 605))


async def test_last_event_id_goes_before_after(served: Served):
    await heartbeats(served, 5)
    async with reading(served, "?after=0", **{"last-event-id": "4"}) as reader:
        await reader.until_events(1)
        assert reader.ids == [5]


async def test_types_and_streams_are_chosen_by_name_or_pattern(served: Served):
    await served.door.an_environment("one")
    sampled = QueueSampled(model_id="m-1", length=1, ready=1, unacknowledged=0, consumers=0)
    await served.door.world.record("queue_sampler", Draft("queue-samples/m-1", sampled))
    last = await heartbeats(served, 1)
    for query, expected in CHOICES.items():
        async with reading(served, f"{query}&after=0") as reader:
            await until(lambda r=reader: r.last_id == last, "all was looked at")
            assert {each.event for each in reader.events} == expected, query


async def test_silence_tells_how_far_one_has_read(served: Served):
    """So a reader of rare events resumes from the log's end, and not from the last rare one."""
    async with reading(served, "?type=environment.*") as reader:
        last = await heartbeats(served, 30)
        await until(lambda: reader.last_id == last, "a heartbeat with the position")
        assert not reader.events
        assert any(each.comments for each in reader.told)


async def test_a_busy_log_does_not_silence_who_wants_nothing_of_it(served: Served):
    async with reading(served, "?type=environment.*") as reader:
        begun = len(reader.told)
        async with asyncio.timeout(10):
            while len(reader.told) < begun + 3:
                await heartbeats(served, 1)


async def test_all_readers_hear_all(served: Served):
    async with reading(served) as one, reading(served) as two, reading(served, "?type=*") as three:
        for _ in range(5):
            await heartbeats(served, 40)
        for reader in (one, two, three):
            await reader.until_events(200)
            assert reader.ids == list(range(1, 201))


async def test_a_feed_that_lost_the_broker_goes_on_without_a_hole(served: Served):
    async with reading(served) as reader:
        await heartbeats(served, 2)
        await reader.until_events(2)
        served.live.feed._follower._bus.cut()
        await heartbeats(served, 3)
        await reader.until_events(5)
        assert reader.ids == [1, 2, 3, 4, 5]


@pytest.mark.parametrize("accept", ["text/event-stream", "application/json"])
async def test_a_wrong_choice_is_refused_by_its_field(served: Served, accept):
    for query, field in WRONG.items():
        answer = await served.door.client.get(f"/api/v1/events{query}", headers={"accept": accept})
        assert answer.status_code == 422, answer.text
        assert field in answer.json()["errors"][0]["field"]


async def test_a_position_the_log_does_not_have_is_a_conflict(served: Served, monkeypatch):
    monkeypatch.setattr("services.gateway.handlers.streaming.REACH_S", 0.1)
    await heartbeats(served, 3)
    answer = await served.door.client.get(
        "/api/v1/events?after=99", headers={"accept": "text/event-stream"}
    )
    assert answer.status_code == 409
    assert answer.json()["errors"][0]["field"] == "after"
    assert answer.json()["numbers"]["position"] == 3


async def test_strangers_hear_nothing(served: Served):
    async with httpx2.AsyncClient(base_url=served.url) as client:
        answer = await client.get("/api/v1/events", headers={"accept": "text/event-stream"})
        assert answer.status_code == 401


async def test_a_page_of_events_is_json_and_its_types_are_found_by_pattern(served: Served):
    served.door.query.answers["/events"] = (200, {"items": [], "next_cursor": None})
    answer = await served.door.client.get(
        "/api/v1/events?type=environment.c*&stream=environment/e-1&after=3&limit=5",
        headers={"accept": "application/json"},
    )
    assert answer.json()["data"]["items"] == []
    asked = served.door.query.asked[-1].url.params
    assert asked.get_list("types") == ["environment.created"]
    assert (asked["stream"], asked["after"], asked["limit"]) == ("environment/e-1", "3", "5")
    assert "type" not in asked
    pattern = await served.door.client.get("/api/v1/events?stream=node/*")
    assert pattern.status_code == 422
    assert pattern.json()["errors"][0]["field"] == "stream"


def a_slow_reader(served: Served) -> socket.socket:
    """Ask for events and read none of them, into as little as the system lets us have."""
    slow = socket.socket()
    slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    slow.connect(("127.0.0.1", served.port))
    slow.sendall(
        b"GET /api/v1/events HTTP/1.1\r\nhost: h\r\naccept: text/event-stream\r\n"
        b"authorization: Bearer " + TOKEN.encode() + b"\r\n\r\n"
    )
    return slow


async def flood(served: Served, chunks: int) -> None:
    sampled = [
        Draft(
            "queue-samples/m-1",
            QueueSampled(
                model_id="m-1", length=1, ready=1, unacknowledged=0, consumers=0, filler=FILLER
            ),
        )
        for _ in range(25)
    ]
    for _ in range(chunks):
        await served.door.world.record("queue_sampler", *sampled)


async def test_a_reader_that_takes_nothing_is_let_go_and_delays_nobody():
    async with a_served_door(stream_kept_events=100_000, stream_patience_s=0.5) as served:
        slow = a_slow_reader(served)
        async with reading(served) as quick:
            await until(lambda: served.live.streams.active == 2, "both are there")
            await flood(served, 10)
            await quick.until_events(250)
            await until(lambda: served.live.streams.active == 1, "the slow one is gone")
            assert served.live.streams.counts["let_go"] == 1
        # Its connection was cut: what it had not taken is not waiting here for it.
        got = await asyncio.to_thread(_until_the_end, slow)
        assert got.startswith(b"HTTP/1.1 200")
        assert not got.endswith(b"0\r\n\r\n")
        assert got.count(b"\nid: ") < 250


async def test_a_reader_that_falls_behind_what_is_kept_is_told_and_comes_back_to_all():
    async with a_served_door(stream_kept_events=100, stream_patience_s=20) as served:
        slow = a_slow_reader(served)
        await until(lambda: served.live.streams.active == 1, "it is there")
        await flood(served, 10)
        got = await asyncio.to_thread(_until_the_end, slow)
        assert b"too slow; come again" in got
        assert got.endswith(b"0\r\n\r\n")
        last = int(got.rpartition(b"\nid: ")[2].split(b"\n")[0])
        async with reading(served, f"?after={last}") as again:
            await again.until_events(250 - last)
            assert again.ids == list(range(last + 1, 251))


def _until_the_end(slow: socket.socket) -> bytes:
    slow.settimeout(10)
    got = bytearray()
    with slow:
        while not got.endswith(b"0\r\n\r\n") and (more := slow.recv(1 << 20)):
            got += more
    return bytes(got)


async def test_what_is_kept_is_bounded_in_events_and_bytes(monkeypatch):
    async with a_served_door(stream_kept_events=300) as served:
        await served.live.feed.started()
        for _ in range(10):
            await heartbeats(served, 100)
        await until(lambda: served.live.feed.position == 1000, "all are seen")
        assert len(served.live.feed._frames) <= 375
        monkeypatch.setattr("services.gateway.handlers.streaming.KEPT_BYTES", 100_000)
        await flood(served, 2)
        await until(lambda: served.live.feed.position == 1050, "all are seen")
        assert served.live.feed._bytes <= 100_000
        assert sum(each.size for each in served.live.feed._frames) == served.live.feed._bytes


async def test_so_many_streams_for_a_caller_and_for_all():
    async with a_served_door(streams_per_caller=2) as served:
        async with reading(served), reading(served):
            headers = {"accept": "text/event-stream"}
            answer = await served.door.client.get("/api/v1/events", headers=headers)
            assert answer.status_code == 429
            assert "streams_per_caller" in answer.json()["detail"]
            assert answer.headers["retry-after"]
        await until(lambda: served.live.streams.active == 0, "places are given back")
        async with reading(served):
            pass


async def test_readers_end_at_once_when_the_gateway_ends():
    async with a_served_door() as served, reading(served) as reader:
        served.live.feed.end()
        await until(lambda: reader.has_ended, "the answer is complete")


async def test_who_may_not_read_any_more_hears_no_more(served: Served, monkeypatch):
    monkeypatch.setattr("services.gateway.routes.streams.ASK_AGAIN_S", 0.0)
    async with reading(served) as reader:

        async def nobody(_: object) -> None:
            return None

        served.door.app.state.authenticator = type(
            "Nobody", (), {"principal": staticmethod(nobody)}
        )
        await until(lambda: reader.has_ended, "it was ended")


async def test_the_stream_is_not_zipped_though_asked(served: Served):
    async with reading(served, **{"accept-encoding": "gzip"}) as reader:
        assert "content-encoding" not in reader.response.headers


async def test_events_are_told_as_the_log_has_them(served: Served):
    """A reader of the stream and a reader of pages see the same members."""
    await heartbeats(served, 1)
    async with reading(served, "?after=0") as reader:
        [told] = await reader.until_events(1)
    assert set(told.data) == {
        "position", "event_id", "stream", "version", "type", "schema_version", "data", "meta",
        "recorded_at",
    }  # fmt: skip
    row = served.door.world.log._rows[0]
    assert told.data["event_id"] == str(row["event_id"])
    assert told.data["data"] == orjson.loads(row["data"])
