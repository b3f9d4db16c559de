"""The time machine through the gateway: forwarded as it is, and nothing strange gets through."""

from __future__ import annotations

import pytest

from tests.gateway_door import a_door

EVENT = "01932d5e-7b1c-7c3a-9f00-2b6a4d1e8c55"


@pytest.fixture
async def door():
    async with a_door() as opened:
        yield opened


@pytest.mark.parametrize(
    ("path", "asked"),
    [
        ("/history/instance/i-1", "/history/instance/i-1"),
        ("/history/alert/node_offline:n1:7", "/history/alert/node_offline:n1:7"),
        ("/blame/4711", "/blame/4711"),
        (f"/blame/{EVENT}", f"/blame/{EVENT}"),
    ],
)
async def test_histories_and_blames_are_forwarded_byte_by_byte(door, path, asked):
    door.query.answers[asked] = (200, b'{"items": [ ],"position":7}')
    answer = await door.client.get(f"/api/v1{path}", params={"as_of": "7", "zoom": "events"})
    assert answer.status_code == 200, answer.text
    assert b'"data":{"items": [ ],"position":7}' in answer.content
    sent = door.query.asked[-1]
    assert dict(sent.url.params) == {"as_of": "7", "zoom": "events"}
    assert answer.json()["position"] == 7


async def test_an_id_is_forwarded_as_one_whatever_letters_it_has(door):
    await door.client.get("/api/v1/history/alert/growth%3Fx=1%23%20y")
    sent = door.query.asked[-1].url
    assert (sent.path, dict(sent.params)) == ("/history/alert/growth?x=1# y", {})


@pytest.mark.parametrize(
    ("path", "field"),
    [
        ("/history/dragon/x", "kind"),
        ("/history/gpu/%00", "id"),
        ("/blame/x", "event"),
        ("/blame/-1", "event"),
    ],
)
async def test_what_is_no_kind_or_no_event_is_refused_here_by_its_name(door, path, field):
    answer = await door.client.get(f"/api/v1{path}")
    assert answer.status_code == 422
    assert [each["field"] for each in answer.json()["errors"]] == [field]
    assert door.query.asked == []


@pytest.mark.parametrize(
    ("status", "field"), [(404, None), (422, "cursor"), (422, "zoom"), (422, "as_of")]
)
async def test_what_the_query_service_refuses_keeps_its_words_and_its_field(door, status, field):
    errors = [{"field": field, "message": "said there"}] if field else []
    problem = {"status": status, "detail": "said there", "errors": errors}
    door.query.answers["/history/model/llama"] = (status, problem)
    answer = await door.client.get("/api/v1/history/model/llama", params={"zoom": "near"})
    assert (answer.status_code, answer.json()["detail"]) == (status, "said there")
    assert [each["field"] for each in answer.json()["errors"]] == ([field] if field else [])


async def test_a_stranger_learns_nothing_of_the_past(door):
    headers = {"authorization": "Bearer nobody"}
    assert (await door.client.get("/api/v1/blame/1", headers=headers)).status_code == 401
