"""The past through the gateway: forwarded, said in the envelope, and never mixed with now."""

from __future__ import annotations

from collections import defaultdict

import orjson
import pytest

from tests.gateway_door import a_door

TOLD = {"position": 7, "recorded_at": "2026-05-04T14:02:10.000000Z", "telemetry": "dropped"}
READS = (
    *("/environments", "/environments/e1", "/environments/e1/models", "/environments/e1/nodes"),
    *("/models", "/models/m1", "/nodes", "/nodes/n1"),
    *(
        "/nodes/n1/gpus",
        "/nodes/n1/models",
        "/nodes/n1/status",
        "/gpus",
        "/gpus/g1",
        "/instances",
        "/instances/i1",
    ),
    *(
        "/queues",
        "/queues/m1",
        "/queues/m1/history",
        "/deployments/status",
        "/scheduling-strategies",
    ),
    *("/scheduling-strategies/s1", "/alerts", "/decisions", "/webhooks", "/webhooks/w1", "/events"),
    *("/asks/a1", "/history/model/m1", "/blame/7"),
)


class Answers(defaultdict):
    """Something at every path."""

    def get(self, path, default=None):
        del default
        return self[path]


@pytest.fixture
async def door():
    async with a_door() as opened:
        opened.query.headers["qm-as-of"] = orjson.dumps(TOLD).decode()
        opened.query.answers = Answers(lambda: (200, {"items": []}))
        yield opened


async def test_every_read_takes_as_of_and_says_which_point_it_is_of(door):
    await door.an_environment()  # what was just written is no part of the past
    for path in READS:
        answer = await door.client.get(f"/api/v1{path}", params={"as_of": "7"})
        assert answer.status_code == 200, (path, answer.text)
        assert answer.json()["as_of"] == TOLD
        assert orjson.loads(answer.headers["qm-as-of"]) == TOLD
        assert answer.headers["cache-control"] == "no-cache"
        sent = door.query.asked[-1].url.params
        assert sent["as_of"] == "7"
        assert "min_position" not in sent


async def test_a_read_of_now_has_no_point_of_the_past_and_holds_what_was_just_written(door):
    del door.query.headers["qm-as-of"]
    await door.an_environment()
    answer = await door.client.get("/api/v1/nodes")
    assert "as_of" not in answer.json()
    assert int(door.query.asked[-1].url.params["min_position"]) > 0


async def test_a_refusal_of_the_moment_names_the_field(door):
    errors = [{"field": "as_of", "message": "position 9 is in the future"}]
    door.query.answers["/nodes"] = (422, {"detail": "refused", "errors": errors})
    answer = await door.client.get("/api/v1/nodes", params={"as_of": "9"})
    assert (answer.status_code, answer.json()["errors"]) == (422, errors)
