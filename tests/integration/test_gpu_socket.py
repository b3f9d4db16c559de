"""The WebSocket of GPU states: a snapshot, then what changes; for those who may, and no faster."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager, suppress
from typing import Any

import orjson
import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from contracts.envelope import Draft
from contracts.events.node import NodeReported
from tests.gateway_door import BEARER, TOKEN
from tests.in_memory import until
from tests.served_door import Served, a_served_door


@pytest.fixture
async def served():
    async with a_served_door(stream_heartbeat_s=0.5) as door:
        yield door


def gpu(uuid: str = "GPU-1", **changes: Any) -> dict[str, Any]:
    row = {"uuid": uuid, "node_id": "n-1", "index": 0, "state": "free", "utilization": 0.0}
    return {**row, **changes}


def the_gpus(served: Served, *gpus: dict[str, Any]) -> None:
    served.door.query.answers["/gpus"] = (200, {"items": gpus, "next_cursor": None})


async def something_happens(served: Served, node: str = "n-1") -> None:
    report = NodeReported(node_id=node, boot_id="b")
    await served.door.world.record("node_monitor", Draft(f"node-reports/{node}", report))


@asynccontextmanager
async def watching(served: Served, **options: Any):
    options = {"additional_headers": BEARER, **options}
    async with connect(f"ws://127.0.0.1:{served.port}/api/gpu/ws", **options) as client:
        yield client


async def heard(client: ClientConnection, kind: str) -> dict[str, Any]:
    """Return the next message of a kind."""
    async with asyncio.timeout(10):
        while True:
            message = orjson.loads(await client.recv())
            if message["type"] == kind:
                return message


async def the_end(client: ClientConnection) -> int | None:
    """Return the code that the gateway closes with."""
    async with asyncio.timeout(10):
        with suppress(ConnectionClosed):
            while True:
                await client.recv()
    return client.close_code


async def test_a_snapshot_comes_first_and_then_only_what_changed(served: Served):
    the_gpus(served, gpu("GPU-1"), gpu("GPU-2", node_id="n-2"))
    async with watching(served) as client:
        snapshot = await heard(client, "gpu_snapshot")
        assert [each["uuid"] for each in snapshot["gpus"]] == ["GPU-1", "GPU-2"]
        assert snapshot["removed"] == []
        the_gpus(served, gpu("GPU-1", state="allocated"))
        await something_happens(served)
        update = await heard(client, "gpu_update")
        assert [(each["uuid"], each["state"]) for each in update["gpus"]] == [
            ("GPU-1", "allocated")
        ]
        assert served.door.query.asked[-1].url.params["node_id"] == "n-1"
        assert int(served.door.query.asked[-1].url.params["min_position"]) == 1
        the_gpus(served)
        await something_happens(served)
        assert (await heard(client, "gpu_update"))["removed"] == ["GPU-1"]


async def test_nothing_is_read_while_nothing_happens_or_nobody_watches(served: Served):
    the_gpus(served, gpu())
    async with watching(served) as one, watching(served) as two:
        await heard(one, "gpu_snapshot")
        await heard(two, "gpu_snapshot")
        reads = len(served.door.query.asked)
        assert reads == 1  # one reader for both
        await heard(one, "heartbeat")
        await heard(one, "heartbeat")
        assert len(served.door.query.asked) == reads
    await until(lambda: served.live.streams.active == 0, "both have gone")
    await something_happens(served)
    await until(lambda: served.live.feed.position == 1, "it is seen")
    assert len(served.door.query.asked) == reads


async def test_who_comes_later_sees_how_things_are_then(served: Served):
    the_gpus(served, gpu())
    async with watching(served) as client:
        await heard(client, "gpu_snapshot")
    await until(lambda: served.live.streams.active == 0, "it has gone")
    the_gpus(served, gpu(state="quarantined"))
    async with watching(served) as client:
        [row] = (await heard(client, "gpu_snapshot"))["gpus"]
        assert row["state"] == "quarantined"


async def test_a_query_service_that_is_away_is_asked_again(served: Served, monkeypatch):
    monkeypatch.setattr("services.gateway.handlers.board.RETRY_S", 0.05)
    the_gpus(served, gpu())
    served.door.query.is_up = False
    async with watching(served) as client:
        await asyncio.sleep(0.2)
        served.door.query.is_up = True
        assert (await heard(client, "gpu_snapshot"))["gpus"]


async def test_it_answers_ping_and_snapshot_and_says_what_it_does_not_know(served: Served):
    the_gpus(served, gpu())
    async with watching(served) as client:
        await heard(client, "gpu_snapshot")
        await client.send('{"type":"ping"}')
        await heard(client, "pong")
        await client.send('{"type":"snapshot"}')
        await heard(client, "gpu_snapshot")
        for nonsense in ('{"type":"dance"}', "[[[", "x" * 1000, b"\xff", "[" * 9000):
            await client.send(nonsense)
            assert "type" in (await heard(client, "error"))["detail"]


@pytest.mark.parametrize(
    "options",
    [
        {"additional_headers": {"x-api-key": TOKEN}},
        {"additional_headers": {}, "subprotocols": ["bearer", TOKEN]},
    ],
)
async def test_a_token_comes_as_a_key_or_among_the_protocols(served: Served, options):
    the_gpus(served, gpu())
    async with watching(served, **options) as client:
        await heard(client, "gpu_snapshot")
        if "subprotocols" in options:
            assert client.subprotocol == "bearer"


STRANGERS = [
    ({"additional_headers": {}}, 401),
    ({"additional_headers": {"authorization": "Bearer wrong"}}, 401),
    ({"additional_headers": {}, "subprotocols": ["bearer", "wrong"]}, 401),
    ({"origin": "https://evil.example"}, 403),
]


async def test_strangers_and_other_sites_are_refused(served: Served):
    for options, status in STRANGERS:
        with pytest.raises(InvalidStatus) as refused:
            async with watching(served, **options):
                pass
        assert refused.value.response.status_code == status


async def test_our_own_pages_and_listed_origins_may_connect(served: Served):
    the_gpus(served, gpu())
    for origin in (served.url, "http://localhost:3000"):
        async with watching(served, origin=origin) as client:
            await heard(client, "gpu_snapshot")


async def test_a_client_that_says_too_much_is_ended(served: Served):
    the_gpus(served, gpu())
    async with watching(served) as client:
        for _ in range(50):
            await client.send('{"type":"ping"}')
        assert await the_end(client) == 1008
    async with watching(served) as client:
        await client.send("x" * 20_000)
        assert await the_end(client) == 1009


async def test_a_gateway_that_ends_says_so(served: Served):
    the_gpus(served, gpu())
    async with watching(served) as client:
        await heard(client, "gpu_snapshot")
        served.live.feed.end()
        assert await the_end(client) == 1001


async def test_the_counts_tell_who_watches(served: Served):
    the_gpus(served, gpu())
    stats = "/api/gpu/websocket/stats"
    async with watching(served) as client:
        await heard(client, "gpu_snapshot")
        found = (await served.door.client.get(stats)).json()
        assert (found["active_connections"], found["total_connections"]) == (1, 1)
        assert found["messages_sent"] >= 1
        assert found["connections"][0]["caller"] == "bootstrap api"
    await until(lambda: served.live.streams.active == 0, "it has gone")
    assert (await served.door.client.get(stats)).json()["active_connections"] == 0
    served.door.client.headers.clear()
    assert (await served.door.client.get(stats)).status_code == 401
