"""Rebuilds through the gateway: an order is a fact, what it names must exist, its state is read."""

import pytest

from contracts.read_models import READ_MODELS
from services.projector.projections import READ_MODELS as FOLDED
from tests.gateway_door import a_door


@pytest.fixture
async def door():
    async with a_door() as opened:
        yield opened


@pytest.mark.parametrize("body", [{}, {"models": []}, {"models": ["gpus", "nodes", "gpus"]}])
async def test_an_order_to_rebuild_is_taken_on_and_recorded(door, body):
    ordered = await door.made("/rebuilds", body)
    wanted = list(dict.fromkeys(body.get("models", [])))
    assert ordered["models"] == wanted
    row = door.world.log._rows[-1]
    assert (row["type"], row["stream"]) == ("rebuild.asked", f"rebuild/{ordered['rebuild_id']}")


async def test_the_same_key_again_is_the_same_order(door):
    first = await door.post("/rebuilds", {}, **{"idempotency-key": "k1"})
    again = await door.post("/rebuilds", {}, **{"idempotency-key": "k1"})
    assert first.json()["data"] == again.json()["data"]
    assert door.types().count("rebuild.asked") == 1


async def test_an_unknown_model_is_refused_by_its_field_with_what_there_is(door):
    answer = await door.post("/rebuilds", {"models": ["gpus", "dragons"]})
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["field"] == "models"
    assert "there is no read model dragons; there are alerts" in answer.text
    assert "rebuild.asked" not in door.types()


async def test_a_rebuild_is_read_byte_by_byte(door):
    door.query.answers["/rebuilds/reb-1"] = (200, b'{"state":"building" }')
    answer = await door.client.get("/api/v1/rebuilds/reb-1")
    assert b'"data":{"state":"building" }' in answer.content
    assert (await door.client.get("/api/v1/rebuilds/a%20b")).status_code == 422


async def test_a_stranger_orders_nothing(door):
    headers = {"authorization": "Bearer nobody"}
    assert (await door.post("/rebuilds", {}, **headers)).status_code == 401


def test_the_names_that_people_order_are_those_of_the_projector():
    assert tuple(model.name for model in FOLDED) == READ_MODELS
