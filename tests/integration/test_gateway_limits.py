"""What the gateway takes on: paces, sizes, depths, pages, conditions; each refusal names its limit."""

from __future__ import annotations

import gzip
from typing import Any

import httpx2
import pytest

from services.gateway.routes import SENT
from services.query.routes import application
from tests.gateway_door import Door, a_door

DEEP = b'{"a":' * 5000 + b"1" + b"}" * 5000


@pytest.fixture
async def door():
    async with a_door() as opened:
        yield opened


async def test_a_caller_that_is_too_fast_is_told_when_to_come_again():
    async with a_door(reads_per_s=0.1, commands_per_s=0.05, burst_s=40) as door:
        door.query.answers["/models"] = (200, {"items": []})
        reads = [await door.client.get("/api/v1/models") for _ in range(5)]
        assert [each.status_code for each in reads] == [200] * 4 + [429]
        assert "reads: at most 0.1 a second" in reads[-1].json()["detail"]
        assert reads[-1].json()["success"] is False
        assert int(reads[-1].headers["retry-after"]) >= 1
        # Commands have a pace of their own.
        commands = [await door.post("/environments", {"name": f"e{n}"}) for n in range(3)]
        assert [each.status_code for each in commands] == [201, 201, 429]
        assert "commands: at most 0.05 a second" in commands[-1].json()["detail"]
        # Nothing came of the refused one, so its Idempotency-Key is free.
        assert len(door.types()) == 4


async def test_strangers_are_counted_by_their_address_and_cost_the_known_nothing():
    async with a_door(reads_per_s=0.01, burst_s=200) as door:
        door.query.answers["/models"] = (200, {"items": []})
        codes = [(await door.client.get("/health", headers={"authorization": "none"})).status_code
                 for _ in range(4)]  # fmt: skip
        assert codes == [200, 200, 429, 429]
        assert (await door.client.get("/api/v1/models")).status_code == 200


def _counting(door: Door) -> list[str]:
    """Return the digests of keys that are looked up from now on."""
    looked_up, find = [], door.own.credentials.key_of

    async def key_of(digest: str) -> Any:
        looked_up.append(digest)
        return await find(digest)

    door.own.credentials.key_of = key_of
    return looked_up


async def ask(door: Door, key: str, path: str = "/api/v1/models") -> httpx2.Response:
    return await door.client.get(path, headers={"authorization": "none", "x-api-key": key})


@pytest.mark.parametrize("path", ["/api/v1/models", "/api/v1/nowhere", "/auth/me"])
async def test_an_address_that_is_refused_too_often_is_told_to_wait_and_nothing_is_looked_up(path):
    async with a_door(reads_per_s=0.01, burst_s=300) as door:
        looked_up = _counting(door)
        refused = [await ask(door, f"qmk_{n}", path) for n in range(6)]
        assert [each.status_code for each in refused] == [401] * 3 + [429] * 3
        assert len(looked_up) == 3
        assert 0 < int(refused[-1].headers["retry-after"]) <= 100
        if path.startswith("/api"):
            assert refused[-1].json()["success"] is False
            assert refused[-1].json()["error"] == "too_many_requests"


async def test_who_shows_nothing_is_counted_too():
    async with a_door(reads_per_s=0.01, burst_s=200) as door:
        codes = [(await ask(door, "")).status_code for _ in range(3)]
        assert codes == [401, 401, 429]
        assert (await ask(door, "", "/health")).status_code == 200


async def test_who_is_known_is_not_kept_out_by_strangers_behind_the_same_address():
    async with a_door(reads_per_s=0.02, burst_s=200) as door:
        door.query.answers["/models"] = (200, {"items": []})
        made = await door.made("/keys", {"name": "ci", "role": "viewer"})
        assert (await ask(door, made["key"])).status_code == 200
        looked_up = _counting(door)
        assert [(await ask(door, f"qmk_{n}")).status_code for n in range(6)][-1] == 429
        assert (await ask(door, made["key"])).status_code == 200
        # What opens nothing any more is looked up once, and then it is a stranger's.
        assert (await door.client.delete(f"/api/v1/keys/{made['id']}")).status_code == 200
        before = len(looked_up)
        codes = [(await ask(door, made["key"])).status_code for _ in range(3)]
        assert codes == [401, 429, 429]
        assert len(looked_up) == before + 1


async def test_the_right_are_not_counted_however_many_they_are():
    async with a_door(reads_per_s=0.5, burst_s=20) as door:
        door.query.answers["/models"] = (200, {"items": []})
        keys = [(await door.made("/keys", {"name": f"k{n}", "role": "viewer"}))["key"]
                for n in range(12)]  # fmt: skip
        assert {(await ask(door, key)).status_code for key in keys} == {200}


async def test_without_a_pace_nobody_is_too_fast():
    async with a_door(reads_per_s=0, burst_s=1) as door:
        codes = {(await door.client.get("/health")).status_code for _ in range(50)}
        assert codes == {200}


async def test_a_body_that_is_too_long_is_refused_with_the_limit():
    async with a_door(max_body_bytes=2000) as door:
        long = await door.post("/environments", {"name": "x" * 3000})
        assert long.status_code == 413
        assert "2000 bytes" in long.json()["detail"]


async def test_json_that_is_too_deep_is_refused_by_its_field(door: Door):
    headers = {"content-type": "application/json"}
    answer = await door.client.post("/api/v1/environments", content=DEEP, headers=headers)
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["field"]
    less = b'{"name":' + b"[" * 40 + b"]" * 40 + b"}"
    answer = await door.client.post("/api/v1/environments", content=less, headers=headers)
    assert "nested deeper than 32" in answer.json()["errors"][0]["message"]


@pytest.mark.parametrize(
    "path", ["/environments", "/models", "/nodes", "/gpus", "/events", "/decisions", "/alerts"]
)
async def test_a_page_of_a_million_rows_is_refused_by_its_field(path):
    class Nobody:
        samples_kept = 10

    transport = httpx2.ASGITransport(application(Nobody()))  # type: ignore[arg-type]
    async with httpx2.AsyncClient(transport=transport, base_url="http://query") as client:
        answer = await client.get(path, params={"limit": 1_000_000})
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["field"] == "limit"


async def test_a_long_answer_is_zipped_for_who_takes_it_and_keeps_its_tag(door: Door):
    items = [{"model_id": f"m-{n}", "name": "llama"} for n in range(100)]
    door.query.answers["/queues"] = (200, {"items": items})
    zipped = {"accept-encoding": "gzip"}
    async with door.client.stream("GET", "/api/v1/queues", headers=zipped) as answer:
        raw = b"".join([part async for part in answer.aiter_raw()])
        assert answer.headers["content-encoding"] == "gzip"
        assert answer.headers["etag"] == '"7-abc"'
        assert "accept-encoding" in answer.headers["vary"].lower()
    plain = await door.client.get("/api/v1/queues", headers={"accept-encoding": "identity"})
    assert "content-encoding" not in plain.headers
    assert len(raw) < len(plain.content) / 4
    assert gzip.decompress(raw)[:20] == plain.content[:20]
    unchanged = await door.client.get(
        "/api/v1/queues", headers={**zipped, "if-none-match": '"7-abc"'}
    )
    assert (unchanged.status_code, unchanged.content) == (304, b"")


async def test_a_command_on_what_was_read_is_done_or_412(door: Door):
    created = await door.post("/environments", {"name": "one"})
    path, position = (
        f"/api/v1/environments/{created.json()['data']['id']}",
        created.json()["position"],
    )
    tag = f'"{position}-0123456789abcdef"'
    fits = await door.client.patch(path, json={"description": "a"}, headers={"if-match": tag})
    assert fits.status_code == 200
    late = await door.client.patch(path, json={"description": "b"}, headers={"if-match": tag})
    assert late.status_code == 412
    assert late.json()["errors"][0]["field"] == "If-Match"
    weak = await door.client.delete(path, headers={"if-match": f"W/{tag}"})
    assert weak.status_code == 412
    any_ = await door.client.patch(path, json={"description": "c"}, headers={"if-match": "*"})
    assert any_.status_code == 200
    for wrong in ("soon", '"x"', '"1", "2"', '"9999999999999999-a"'):
        answer = await door.client.patch(path, json={}, headers={"if-match": wrong})
        assert answer.status_code == 422
        assert answer.json()["errors"][0]["field"] == "If-Match"


async def test_a_browser_may_send_and_read_what_the_api_needs(door: Door):
    answer = await door.client.options(
        "/api/v1/events",
        headers={
            "origin": "http://localhost:3000",
            "access-control-request-method": "GET",
            "access-control-request-headers": ",".join(SENT),
        },
    )
    assert answer.status_code == 200
    read = await door.client.get("/health", headers={"origin": "http://localhost:3000"})
    assert "ETag" in read.headers["access-control-expose-headers"]
    too_fast_is_readable = read.headers["access-control-allow-origin"]
    assert too_fast_is_readable == "http://localhost:3000"
