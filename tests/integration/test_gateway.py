"""The gateway's doors: what goes in becomes facts, what comes out is in the envelope."""

from __future__ import annotations

import asyncio

import orjson
import pytest
import structlog
from pydantic import ValidationError

from contracts.events.control import NameClaimed, NameReleased, SecretRotated
from contracts.events.instance import InstanceStartAsked, InstanceStopAsked
from contracts.events.model import ModelRegistered, ModelUpdated
from contracts.events.node import NodeHeartbeat, NodeRegistered, ProcessKillAsked
from contracts.types import SecretRef
from services.chassis import secrets
from services.chassis.errors import Bug, Unavailable
from services.gateway.handlers import commands
from services.gateway.routes import check_declared, environments
from tests.gateway_door import BEARER, TOKEN, Door, a_door, a_model, a_node, settings
from tests.in_memory import until

CANARY = "canary-4b1d-do-not-leak"


@pytest.fixture
async def door():
    async with a_door() as opened:
        yield opened


@pytest.fixture(scope="module")
async def still_door():
    """One door for all who change nothing: a new one compiles its routes anew."""
    async with a_door() as opened:
        yield opened
        assert not opened.types()


async def test_an_environment_is_created_read_back_changed_and_deleted(door: Door):
    created = await door.post("/environments", {"name": "production", "description": "live"})
    assert created.status_code == 201
    envelope = created.json()
    assert {"success", "code", "message", "data", "position", "timestamp"} == envelope.keys()
    assert envelope["success"] is True
    assert envelope["code"] == 201
    assert envelope["data"]["name"] == "production"
    id_ = envelope["data"]["id"]
    assert envelope["position"] == 2  # the name, then the environment

    changed = await door.client.put(f"/api/v1/environments/{id_}", json={"name": "prod"})
    assert changed.json()["data"]["name"] == "prod"
    assert changed.json()["data"]["description"] == "live"
    assert await door.an_environment("production") != id_  # the old name is free again

    deleted = await door.client.delete(f"/api/v1/environments/{id_}")
    assert deleted.status_code == 200
    assert (await door.client.patch(f"/api/v1/environments/{id_}", json={})).status_code == 404


async def test_nothing_sent_changes_nothing(door: Door):
    id_ = await door.an_environment()
    before = len(door.types())
    answer = await door.client.patch(f"/api/v1/environments/{id_}", json={})
    assert answer.status_code == 200
    assert len(door.types()) == before


async def test_a_name_is_unique_and_the_refusal_names_the_field(door: Door):
    await door.an_environment("one")
    refused = await door.post("/environments", {"name": "one"})
    assert refused.status_code == 409
    assert refused.json()["errors"][0]["field"] == "name"
    assert refused.json()["success"] is False


async def test_of_many_who_want_one_name_one_gets_it(door: Door):
    answers = await asyncio.gather(
        *(door.post("/environments", {"name": "one"}) for _ in range(20))
    )
    assert sorted(answer.status_code for answer in answers) == [201, *[409] * 19]


async def test_an_environment_that_is_not_empty_is_not_deleted(door: Door):
    id_ = await door.an_environment()
    model = await door.a_model(id_)
    node = await door.a_node(id_)
    refused = await door.client.delete(f"/api/v1/environments/{id_}")
    assert refused.status_code == 409
    assert refused.json()["numbers"] == {"models": [model["id"]], "nodes": [node["id"]]}


async def test_a_model_is_registered_with_the_first_platforms_field_names(door: Door):
    environment = await door.an_environment()
    model = await door.a_model(environment, rabbitmq_password=CANARY, rabbitmq_amqp_port=5673)
    assert model["rabbitmq_queue_name"] == "llama-requests"
    assert model["rabbitmq_port"] == 15672
    assert model["average_inference_time"] == 1.5
    assert model["has_rabbitmq_password"] is True
    assert "rabbitmq_password" not in model
    [event] = door.world.facts(ModelRegistered)
    assert event.queue.amqp_port == 5673
    assert event.launch.template == "vllm"
    assert event.launch.parameters == {"model_path": "llama"}
    assert event.queue.password == SecretRef(secret_id=f"{model['id']}.rabbitmq", version=1)
    [rotated] = door.world.facts(SecretRotated)
    assert rotated.secret_id == event.queue.password.secret_id


async def test_the_password_opens_for_the_sampler_and_for_nobody_who_only_reads(door: Door):
    model = await door.a_model(await door.an_environment(), rabbitmq_password=CANARY)
    ref = door.world.facts(ModelRegistered)[0].queue.password
    sampler = door.world.broker.bus("queue_sampler")
    assert await secrets.reveal(sampler, ref) == CANARY
    await sampler.close()
    changed = await door.client.put(
        f"/api/v1/models/{model['id']}", json={"rabbitmq_password": "another one"}
    )
    assert changed.status_code == 200
    assert door.world.facts(ModelUpdated)[0].queue.password.version == 2
    gone = await door.client.put(f"/api/v1/models/{model['id']}", json={"rabbitmq_password": None})
    assert gone.json()["data"]["has_rabbitmq_password"] is False


async def test_a_changed_model_keeps_what_was_not_sent(door: Door):
    model = await door.a_model(await door.an_environment(), rabbitmq_password=CANARY)
    answer = await door.client.put(
        f"/api/v1/models/{model['id']}",
        json={"average_inference_time": 3.0, "rabbitmq_password": "", "id": "sent back"},
    )
    assert answer.status_code == 200, answer.text
    data = answer.json()["data"]
    assert data["average_inference_time"] == 3.0
    assert data["has_rabbitmq_password"] is True
    assert data["rabbitmq_host"] == "10.0.0.5"


async def test_model_names_are_unique_in_their_environment_only(door: Door):
    first, second = await door.an_environment("one"), await door.an_environment("two")
    await door.a_model(first)
    await door.a_model(second)
    assert (await door.post("/models", a_model(first))).status_code == 409


async def test_a_deleted_models_secret_is_forgotten_and_its_name_free(door: Door):
    environment = await door.an_environment()
    model = await door.a_model(environment, rabbitmq_password=CANARY)
    assert (await door.client.delete(f"/api/v1/models/{model['id']}")).status_code == 200
    assert door.secrets.rows == {(f"{model['id']}.rabbitmq", 1): None}
    assert len(door.world.facts(NameReleased)) == 1
    await door.a_model(environment)


async def test_a_password_that_is_taken_away_is_forgotten_and_with_the_model_all_before_it(
    door: Door,
):
    model = await door.a_model(await door.an_environment(), rabbitmq_password=CANARY)
    path, secret = f"/api/v1/models/{model['id']}", f"{model['id']}.rabbitmq"
    for password in ("the second", None):
        answer = await door.client.patch(path, json={"rabbitmq_password": password})
        assert answer.status_code == 200, answer.text
    kept = {version: row is not None for (_, version), row in door.secrets.rows.items()}
    assert kept == {1: True, 2: False}
    assert (await door.client.delete(path)).status_code == 200
    assert door.secrets.rows == {(secret, 1): None, (secret, 2): None}


async def test_a_vault_that_is_down_makes_503_and_records_nothing(door: Door):
    environment = await door.an_environment()
    before = len(door.types())

    async def away(*_: object, **__: object) -> SecretRef:
        raise Unavailable("the vault is away")

    door.app.state.doors.commands._vault.store = away
    answer = await door.post("/models", a_model(environment, rabbitmq_password=CANARY))
    assert answer.status_code == 503
    assert answer.headers["retry-after"]
    assert len(door.types()) == before


async def test_a_node_is_registered_by_url_or_by_host_and_port(door: Door):
    environment = await door.an_environment()
    await door.a_node(environment)
    body = a_node(environment, name="gpu-02", host="10.0.0.8", port=9000)
    del body["agent_url"]
    await door.made("/nodes", body)
    urls = [event.agent_url for event in door.world.facts(NodeRegistered)]
    assert urls == ["http://10.0.0.7:8090", "http://10.0.0.8:9000"]


async def test_a_model_is_started_stopped_and_a_process_killed_by_hand(door: Door):
    environment = await door.an_environment()
    model, node = await door.a_model(environment), await door.a_node(environment)
    start = f"/nodes/{node['id']}/models/start"
    asked = await door.post(start, {"model_name": "llama", "gpu_id": 1, "config": {"x": 1}})
    assert asked.status_code == 202
    [event] = door.world.facts(InstanceStartAsked)
    assert (event.model_id, event.gpu_index, event.config) == (model["id"], 1, {"x": 1})
    assert asked.json()["data"]["ask_id"] == event.ask_id

    door.state.apply(_requested("i-1", model["id"], node["id"], 0))
    door.state.apply(_requested("i-2", model["id"], node["id"], 1))
    stop = f"/nodes/{node['id']}/models/stop"
    ambiguous = await door.post(stop, {"model_name": "llama"})
    assert ambiguous.json()["errors"][0]["field"] == "gpu_id"
    stopped = await door.post(stop, {"model_name": "llama", "gpu_id": 1})
    assert stopped.json()["data"]["instance_id"] == "i-2"
    assert door.world.facts(InstanceStopAsked)[0].instance_id == "i-2"
    assert (await door.post(stop, {"instance_id": "i-9"})).status_code == 404

    assert (await door.post(f"/nodes/{node['id']}/processes/77/kill")).status_code == 202
    assert (await door.post(f"/nodes/{node['id']}/kill-process", {"pid": 78})).status_code == 202
    assert [event.pid for event in door.world.facts(ProcessKillAsked)] == [77, 78]

    busy = await door.client.delete(f"/api/v1/nodes/{node['id']}")
    assert busy.status_code == 409
    assert busy.json()["numbers"]["instances"] == ["i-1", "i-2"]
    forced = await door.client.delete(f"/api/v1/nodes/{node['id']}?force=true")
    assert forced.status_code == 200


async def test_a_node_calls_in(door: Door):
    node = await door.a_node(await door.an_environment())
    answer = await door.post(f"/nodes/{node['id']}/heartbeat", {"load": 3})
    assert answer.status_code == 200
    await until(lambda: door.world.facts(NodeHeartbeat), "a heartbeat")
    assert (await door.post("/nodes/nobody/heartbeat")).status_code == 404


async def test_a_strategy_is_stored_configured_switched_and_deleted(door: Door):
    path = "/scheduling-strategies"
    new = {"name": "busy_queue_scaling", "config": {"busy_threshold_s": 10}, "is_active": True}
    strategy = await door.made(path, new)
    assert (strategy["policy"], strategy["active"]) == ("busy_queue_scaling", True)
    id_ = strategy["id"]
    configured = await door.client.put(
        f"/api/v1{path}/{id_}", json={"parameters": {"idle_s": 60, "weight.mdl-1": 2}}
    )
    assert configured.json()["data"]["parameters"] == {
        "busy_threshold_s": 10,
        "idle_s": 60,
        "weight.mdl-1": 2,
    }
    cleared = await door.client.put(f"/api/v1{path}/{id_}", json={"parameters": {"idle_s": None}})
    assert "idle_s" not in cleared.json()["data"]["parameters"]
    wrong = await door.client.put(f"/api/v1{path}/{id_}", json={"parameters": {"idle_s": -1}})
    assert wrong.status_code == 422
    assert wrong.json()["errors"][0]["field"] == "parameters.idle_s"
    off = await door.post(f"{path}/{id_}/deactivate")
    assert off.json()["data"]["active"] is False
    again = await door.post(f"{path}/{id_}/deactivate")
    assert again.json()["data"]["active"] is False
    assert (await door.post(f"{path}/{id_}/activate")).json()["data"]["active"] is True
    assert (await door.client.delete(f"/api/v1{path}/{id_}")).status_code == 200
    assert door.types().count("strategy.deactivated") == 1


async def test_a_webhooks_secret_is_shown_once(door: Door):
    answer = await door.post(
        "/webhooks", {"url": "https://example.org/hook"}, **{"idempotency-key": "k-1"}
    )
    made = answer.json()["data"]
    assert made["secret"].startswith("whsec_")
    assert made["has_secret"] is True
    again = await door.post(
        "/webhooks", {"url": "https://example.org/hook"}, **{"idempotency-key": "k-1"}
    )
    assert again.json()["data"]["id"] == made["id"]
    assert "secret" not in again.json()["data"]
    assert made["secret"] not in repr(door.keys.rows)
    path = f"/api/v1/webhooks/{made['id']}"
    rotated = await door.client.patch(path, json={"rotate_secret": True})
    assert rotated.json()["data"]["secret"] != made["secret"]
    moved = await door.client.patch(path, json={"url": "https://example.org/other"})
    assert "secret" not in moved.json()["data"]
    assert (await door.client.delete(path)).status_code == 200
    assert set(door.secrets.rows.values()) == {None}


async def test_the_same_key_is_the_same_command(door: Door):
    body = {"name": "one"}
    first = await door.post("/environments", body, **{"idempotency-key": "k-1"})
    again = await door.post("/environments", body, **{"idempotency-key": "k-1"})
    assert again.json()["data"] == first.json()["data"]
    assert again.status_code == first.status_code == 201
    assert again.headers["idempotency-replayed"] == "true"
    assert "idempotency-replayed" not in first.headers
    other = await door.post("/environments", {"name": "two"}, **{"idempotency-key": "k-1"})
    assert other.status_code == 422
    assert other.json()["errors"][0]["field"] == "Idempotency-Key"
    assert door.types().count("environment.created") == 1


async def test_a_key_in_flight_is_409(door: Door):
    await door.an_environment("warm")
    door.keys.rows["api", "k-1"] = {"fingerprint": b"", "held": True}
    door.app.state.doors.commands._keys = door.keys
    original = door.keys.claim

    async def claim(asked):
        door.keys.rows["api", "k-1"]["fingerprint"] = asked.fingerprint
        return await original(asked)

    door.keys.claim = claim
    answer = await door.post("/environments", {"name": "one"}, **{"idempotency-key": "k-1"})
    assert answer.status_code == 409


async def test_a_lost_answer_is_asked_again_and_nothing_happens_twice(door: Door):
    await door.an_environment("warm")
    commands = door.app.state.doors.commands
    propose = commands._recorder.propose

    async def recorded_but_lost(*drafts, **more):
        await propose(*drafts, **more)
        raise Unavailable("the answer was lost")

    commands._recorder.propose = recorded_but_lost
    key = {"idempotency-key": "k-1"}
    assert (await door.post("/environments", {"name": "one"}, **key)).status_code == 503
    commands._recorder.propose = propose
    again = await door.post("/environments", {"name": "one"}, **key)
    assert again.status_code == 201
    assert again.json()["data"]["name"] == "one"
    assert door.types().count("environment.created") == 2  # the warm one, and this one once


async def test_a_refused_command_leaves_its_key_free(door: Door):
    await door.an_environment("one")
    key = {"idempotency-key": "k-1"}
    assert (await door.post("/environments", {"name": "one"}, **key)).status_code == 409
    assert not door.keys.rows


async def test_what_others_recorded_meanwhile_is_folded_and_decided_again(
    door: Door, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(commands, "NEWS_S", 0.02)  # news that never comes: nobody was faster
    id_ = await door.an_environment("one")
    door.state.versions[f"environment/{id_}"] = 0  # as if another gateway had been faster
    answer = await door.client.patch(f"/api/v1/environments/{id_}", json={"description": "x"})
    assert answer.status_code == 409
    door.state.versions[f"environment/{id_}"] = 1
    answer = await door.client.patch(f"/api/v1/environments/{id_}", json={"description": "x"})
    assert answer.status_code == 200


async def test_a_condition_on_a_position_holds_or_is_refused(door: Door):
    created = await door.post("/environments", {"name": "one"})
    id_, position = created.json()["data"]["id"], created.json()["position"]
    path = f"/api/v1/environments/{id_}"
    await door.an_environment("unrelated")
    fits = await door.client.patch(f"{path}?if_position={position}", json={"description": "a"})
    assert fits.status_code == 200
    late = await door.client.patch(
        path, json={"description": "b"}, headers={"If-Position": str(position)}
    )
    assert late.status_code == 409
    assert late.json()["errors"][0]["field"] == "if_position"
    wrong = await door.client.patch(f"{path}?if_position=soon", json={})
    assert wrong.status_code == 422
    assert wrong.json()["errors"][0]["field"] == "if_position"


READS = {
    "/environments": "/environments",
    "/environments/env-1": "/environments/env-1",
    "/environments/env-1/models": "/models",
    "/models": "/models",
    "/models/m-1": "/models/m-1",
    "/nodes": "/nodes",
    "/nodes/n-1": "/nodes/n-1",
    "/nodes/n-1/status": "/nodes/n-1",
    "/nodes/n-1/models": "/nodes/n-1",
    "/nodes/n-1/gpus": "/nodes/n-1",
    "/queues": "/queues",
    "/queues/m-1": "/queues/m-1",
    "/queues/m-1/history": "/queues/m-1/history",
    "/deployments/status": "/deployments/status",
    "/scheduling-strategies": "/strategies",
    "/scheduling-strategies/s-1": "/strategies/s-1",
    "/alerts": "/alerts",
    "/webhooks": "/webhooks",
    "/decisions": "/decisions",
    "/events": "/events",
    "/gpus": "/gpus",
    "/instances": "/instances",
    "/status": "/status",
}


@pytest.mark.parametrize(("path", "forwarded"), READS.items())
async def test_a_read_is_forwarded_and_wrapped(still_door: Door, path, forwarded):
    still_door.query.answers[forwarded] = (200, {"items": [], "next_cursor": None})
    answer = await still_door.client.get(f"/api/v1{path}?limit=5&min_position=3")
    assert answer.status_code == 200, answer.text
    assert answer.json()["success"] is True
    assert answer.json()["position"] == 7
    assert answer.headers["etag"] == '"7-abc"'
    asked = still_door.query.asked[-1].url
    assert asked.path == forwarded
    assert asked.params["limit"] == "5"
    assert asked.params["min_position"] == "3"


async def test_who_asks_the_same_at_once_is_answered_with_two_reads(door: Door, monkeypatch):
    door.query.answers["/queues"] = (200, {"items": []})
    answer = door.query.get

    async def slowly(target, headers):
        await asyncio.sleep(0.05)
        return await answer(target, headers)

    monkeypatch.setattr(door.query, "get", slowly)
    answers = await asyncio.gather(*(door.client.get("/api/v1/queues") for _ in range(20)))
    assert [each.status_code for each in answers] == [200] * 20
    assert len(door.query.asked) == 2


async def test_what_query_says_is_not_read_again(door: Door):
    door.query.answers["/queues"] = (200, b'{"items":[{"length":1.10}]}')
    answer = await door.client.get("/api/v1/queues")
    assert b'{"items":[{"length":1.10}]}' in answer.content


async def test_things_that_say_their_id_are_not_read_again_and_others_are_given_it(door: Door):
    said = b'{"items":[{"id":"n-1","node_id":"n-1","load":1.10}],"next_cursor":null,"position":7}'
    door.query.answers["/nodes"] = (200, said)
    assert said in (await door.client.get("/api/v1/nodes")).content
    door.query.answers["/nodes"] = (200, {"items": [{"node_id": "n-1"}]})
    data = (await door.client.get("/api/v1/nodes")).json()["data"]
    assert data["items"] == [{"id": "n-1", "node_id": "n-1"}]


async def test_an_unchanged_read_is_304(door: Door):
    door.query.answers["/queues"] = (200, {})
    answer = await door.client.get("/api/v1/queues", headers={"if-none-match": '"7-abc"'})
    assert answer.status_code == 304
    assert not answer.content


async def test_models_are_read_in_the_first_platforms_field_names(door: Door):
    row = {
        "model_id": "m-1",
        "name": "llama",
        "queue": {"host": "h", "port": 15672, "name": "q", "has_password": True},
        "average_inference_time_s": 2.0,
    }
    door.query.answers["/models"] = (200, {"items": [row], "next_cursor": "c"})
    data = (await door.client.get("/api/v1/models")).json()["data"]
    assert data["next_cursor"] == "c"
    [model] = data["items"]
    assert (model["id"], model["rabbitmq_host"], model["rabbitmq_queue_name"]) == ("m-1", "h", "q")
    assert (model["average_inference_time"], model["has_rabbitmq_password"]) == (2.0, True)


async def test_one_reads_what_one_wrote(door: Door):
    door.query.answers["/environments"] = (200, {"items": []})
    written = (await door.post("/environments", {"name": "one"})).json()["position"]
    await door.client.get("/api/v1/environments")
    assert door.query.asked[-1].url.params["min_position"] == str(written)


@pytest.mark.parametrize(
    ("said", "answered"), [(404, 404), (422, 422), (503, 503), (500, 500), (429, 503)]
)
async def test_querys_refusals_are_told_in_the_envelope(door: Door, said, answered):
    problem = {"detail": "why", "errors": [{"field": "limit", "message": "too much"}]}
    door.query.answers["/queues"] = (said, problem)
    answer = await door.client.get("/api/v1/queues")
    assert answer.status_code == answered
    assert answer.json()["success"] is False
    if said == 422:
        assert answer.json()["errors"] == problem["errors"]


async def test_a_query_service_that_is_down_makes_503(door: Door):
    door.query.is_up = False
    answer = await door.client.get("/api/v1/queues")
    assert answer.status_code == 503
    assert answer.headers["retry-after"]


DOORS = [
    ("POST", "/environments"),
    ("PUT", "/environments/e-1"),
    ("POST", "/models"),
    ("PUT", "/models/m-1"),
    ("POST", "/nodes"),
    ("PATCH", "/nodes/n-1"),
    ("POST", "/nodes/n-1/models/start"),
    ("POST", "/nodes/n-1/models/stop"),
    ("POST", "/nodes/n-1/kill-process"),
    ("POST", "/scheduling-strategies"),
    ("PUT", "/scheduling-strategies/s-1"),
    ("POST", "/webhooks"),
    ("PATCH", "/webhooks/w-1"),
]
BOMBS = {
    "deep": b'{"a":' * 900 + b"1" + b"}" * 900,
    "deeper": b"[" * 100_000,
    "cut": b'{"name": "x',
    "nul": b'{"name":"a\\u0000b"}',
    "nul in a name": b'{"na\\u0000me":"a"}',
    "surrogate": b'{"name":"\\ud800"}',
    "surrogate in a name": b'{"\\ud800":1}',
    "not utf-8": b'{"name":"\xff\xfe"}',
    "huge": b'{"name":' + b"9" * 5000 + b"}",
    "nan": b'{"name":NaN}',
    "infinite": b'{"average_inference_time":1e999}',
    "a list": b"[1,2,3]",
    "a word": b'"name"',
    "null": b"null",
    "nothing": b"",
    "unknown": b'{"no_such_field":1}',
    "wrong type": b'{"name":{"a":1},"url":[1],"pid":"x","model_name":[],"parameters":7}',
}


@pytest.mark.parametrize("bomb", BOMBS)
@pytest.mark.parametrize(("method", "path"), DOORS)
async def test_bad_input_is_refused_at_every_door(still_door: Door, method, path, bomb):
    answer = await still_door.client.request(
        method,
        f"/api/v1{path}",
        content=BOMBS[bomb],
        headers={"content-type": "application/json"},
    )
    assert answer.status_code == 422, answer.text
    problem = answer.json()
    assert problem["success"] is False
    assert problem["errors"][0]["field"]
    assert problem["trace_id"]
    assert answer.headers["content-type"] == "application/json"
    assert not still_door.types()


MODEL = a_model("env-1")
NODE = a_node("env-1")
WRONG = [
    ("/environments", {"name": ""}, "name"),
    ("/environments", {"name": "   "}, "name"),
    ("/environments", {"name": "a\nb"}, "name"),
    ("/environments", {"name": "x" * 129}, "name"),
    ("/environments", {"name": "a", "description": 3}, "description"),
    ("/models", {**MODEL, "environment_id": "env-1"}, "environment_id"),
    ("/models", {**MODEL, "environment_id": "../etc"}, "environment_id"),
    ("/models", {**MODEL, "rabbitmq_port": 0}, "rabbitmq_port"),
    ("/models", {**MODEL, "rabbitmq_port": True}, "rabbitmq_port"),
    ("/models", {**MODEL, "rabbitmq_amqp_port": 65536}, "rabbitmq_amqp_port"),
    ("/models", {**MODEL, "rabbitmq_host": "http://x/"}, "rabbitmq_host"),
    ("/models", {**MODEL, "rabbitmq_host": "169.254.169.254"}, "rabbitmq_host"),
    ("/models", {**MODEL, "rabbitmq_host": "8.8.8.8"}, "rabbitmq_host"),
    ("/models", {**MODEL, "rabbitmq_host": "::ffff:8.8.8.8"}, "rabbitmq_host"),
    ("/models", {**MODEL, "average_inference_time": 0}, "average_inference_time"),
    ("/models", {**MODEL, "average_inference_time": -1}, "average_inference_time"),
    ("/models", {**MODEL, "average_inference_time": "long"}, "average_inference_time"),
    ("/models", {**MODEL, "max_instances": 0}, "max_instances"),
    ("/models", {**MODEL, "rabbitmq_password": 7}, "rabbitmq_password"),
    ("/models", {**MODEL, "launch": {"parameters": {}}}, "launch.template"),
    ("/models", {**MODEL, "launch": {"template": "a b"}}, "launch.template"),
    ("/models", {**MODEL, "launch": {"template": "t", "parameters": {"a": [1]}}}, "launch.param"),
    ("/models", {**MODEL, "launch": {"template": "t", "parameters": {"a b": 1}}}, "launch.param"),
    ("/models", {**MODEL, "on_lost_control": "panic"}, "on_lost_control"),
    ("/nodes", {**NODE, "agent_url": "ftp://x"}, "agent_url"),
    ("/nodes", {**NODE, "agent_url": "http://user:pw@10.0.0.1"}, "agent_url"),
    ("/nodes", {**NODE, "agent_url": "http://10.0.0.1:99999"}, "agent_url"),
    ("/nodes", {**NODE, "agent_url": "http://169.254.169.254"}, "agent_url"),
    ("/nodes", {**NODE, "agent_url": "http://[::ffff:8.8.8.8]:80"}, "agent_url"),
    ("/nodes", {**NODE, "agent_url": "http://[1:2]:80"}, ""),
    ("/nodes", {**NODE, "available_gpu_ids": [0, 0]}, "available_gpu_ids"),
    ("/nodes", {**NODE, "available_gpu_ids": [-1]}, "available_gpu_ids"),
    ("/nodes", {**NODE, "available_gpu_ids": "all"}, "available_gpu_ids"),
    ("/nodes", {**NODE, "capabilities": {"a": {"b": 1}}}, "capabilities"),
    ("/scheduling-strategies", {"name": "x", "policy": "no_such"}, "policy"),
    ("/scheduling-strategies", {"name": "busy_queue_scaling", "order": -1}, "order"),
    (
        "/scheduling-strategies",
        {"name": "busy_queue_scaling", "parameters": {"nope": 1}},
        "parameters.nope",
    ),
    ("/webhooks", {"url": "javascript:alert(1)"}, "url"),
    ("/webhooks", {"url": "https://u:p@example.org/"}, "url"),
    ("/webhooks", {"url": "http://example.org/"}, "url"),
    ("/webhooks", {"url": "https://10.1.2.3/"}, "url"),
    ("/webhooks", {"url": "https://[::ffff:169.254.169.254]/"}, "url"),
    ("/webhooks", {"url": "https://example.org:99999/"}, "url"),
    ("/webhooks", {"url": "https://example.org", "secret": "short"}, "secret"),
    (
        "/webhooks",
        {"url": "https://example.org", "kind": "alertmanager", "bearer_token": "a\u00a0b"},
        "bearer_token",
    ),
]


@pytest.mark.parametrize(("path", "body", "field"), WRONG)
async def test_a_wrong_field_is_named(still_door: Door, path, body, field):
    answer = await still_door.post(path, body)
    assert answer.status_code == 422, answer.text
    assert any(field in error["field"] for error in answer.json()["errors"]), answer.text
    assert not still_door.types()


async def test_a_floor_above_the_ceiling_is_refused(door: Door):
    environment = await door.an_environment()
    answer = await door.post("/models", a_model(environment, min_instances=3, max_instances=2))
    assert answer.json()["errors"][0]["field"] == "min_instances"


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"model_id": "mdl-none"}, "model_id"),
        ({"model_name": "none"}, "model_name"),
        ({}, "model_id"),
        ({"model_name": "llama", "gpu_id": 7}, "gpu_id"),
        ({"model_name": "llama", "config": {"a": []}}, "config"),
    ],
)
async def test_a_start_that_cannot_be_is_refused_by_its_field(door: Door, body, field):
    environment = await door.an_environment()
    await door.a_model(environment)
    node = await door.a_node(environment)
    answer = await door.post(f"/nodes/{node['id']}/models/start", body)
    assert answer.status_code == 422
    assert field in answer.json()["errors"][0]["field"]


async def test_a_model_of_another_environment_is_started_by_its_id_as_the_scheduler_would(
    door: Door,
):
    model = await door.a_model(await door.an_environment("one"))
    node = await door.a_node(await door.an_environment("two"))
    place = f"/nodes/{node['id']}/models/start"
    taken_on = await door.made(place, {"model_id": model["id"]})
    assert taken_on["model_id"] == model["id"]
    by_name = await door.post(place, {"model_name": model["name"]})
    assert by_name.json()["errors"][0]["field"] == "model_name"
    assert "environment" in by_name.json()["errors"][0]["message"]


@pytest.mark.parametrize(
    ("method", "path", "code"),
    [
        ("GET", "/api/v1/nope", 404),
        ("DELETE", "/api/v1/environments", 405),
        ("PUT", "/api/v1/environments/none", 422),
        ("DELETE", "/api/v1/environments/none", 404),
        ("DELETE", "/api/v1/models/none", 404),
        ("DELETE", "/api/v1/nodes/none", 404),
        ("DELETE", "/api/v1/scheduling-strategies/none", 404),
        ("DELETE", "/api/v1/webhooks/none", 404),
        ("GET", "/api/v1/environments/a%00b", 422),
        ("GET", "/api/v1/environments/a%20b", 422),
        ("GET", "/api/v1/environments?x=%00", 422),
        ("GET", "/api/v1/environments?min_position=x", 422),
        ("GET", "/api/v1/environments?min_position=-1", 422),
        ("POST", "/api/v1/nodes/none/processes/0/kill", 422),
        ("POST", "/api/v1/nodes/none/processes/1/kill", 404),
        ("POST", f"/api/v1/nodes/none/processes/{'9' * 5000}/kill", 422),
    ],
)
async def test_every_refusal_is_in_the_envelope(still_door: Door, method, path, code):
    answer = await still_door.client.request(method, path)
    assert answer.status_code == code, answer.text
    assert answer.json()["code"] == code
    assert answer.json()["success"] is False
    assert answer.json()["data"] is None
    assert answer.json()["instance"] == path.partition("?")[0].replace("%00", "\0").replace(
        "%20", " "
    )


async def test_a_body_that_is_not_json_or_too_long_is_refused(door: Door):
    path = "/api/v1/environments"
    assert (await door.client.post(path, content=b"name=x")).status_code == 415
    form = await door.client.post(path, data={"name": "x"})
    assert form.status_code == 415
    long = await door.client.post(path, json={"name": "x" * 1_100_000})
    assert long.status_code == 413
    assert long.json()["success"] is False

    async def drops():
        for _ in range(40):
            yield b"x" * 50_000

    chunked = await door.client.post(
        path, content=drops(), headers={"content-type": "application/json"}
    )
    assert chunked.status_code == 413


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"authorization": "Bearer wrong-token-wrong-token"},
        {"authorization": f"Basic {TOKEN}"},
        {"authorization": "Bearer"},
        {"x-api-key": TOKEN[:-1]},
        {"x-api-key": ""},
    ],
)
@pytest.mark.parametrize("path", ["/api/v1/models", "/api/v1/nope", "/api/v1"])
async def test_strangers_get_401_before_anything_is_read(door: Door, headers, path):
    door.client.headers.clear()
    answer = await door.client.post(path, content=b"{" * 100, headers=headers)
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"] == "Bearer"
    assert answer.json()["success"] is False


async def test_the_token_comes_as_bearer_or_as_api_key(door: Door):
    door.query.answers["/models"] = (200, {"items": []})
    door.client.headers.clear()
    for headers in (BEARER, {"x-api-key": TOKEN}, {"authorization": f"bearer  {TOKEN}"}):
        answer = await door.client.get("/api/v1/models", headers=headers)
        assert answer.status_code == 200


async def test_information_health_and_docs_are_public(door: Door):
    door.client.headers.clear()
    information = await door.client.get("/")
    assert information.json()["name"] == "Quartermaster"
    assert (await door.client.get("/health")).json()["status"] == "ok"
    assert (await door.client.get("/docs")).status_code == 200
    paths = (await door.client.get("/openapi.json")).json()["paths"]
    assert "/api/v1/nodes/{node_id}/models/start" in paths
    elsewhere = await door.client.get("/nowhere")
    assert elsewhere.status_code == 404
    assert elsewhere.headers["content-type"] == "application/problem+json"


async def test_a_browser_of_a_listed_origin_may_call(door: Door):
    preflight = {"access-control-request-method": "PUT"}
    allowed = await door.client.options(
        "/api/v1/models", headers={"origin": "http://localhost:3000", **preflight}
    )
    assert allowed.headers["access-control-allow-origin"] == "http://localhost:3000"
    other = await door.client.options(
        "/api/v1/models", headers={"origin": "http://evil.example", **preflight}
    )
    assert "access-control-allow-origin" not in other.headers


async def test_the_password_is_in_no_answer_no_event_no_row_and_no_log(door: Door):
    with structlog.testing.capture_logs() as logs:
        environment = await door.an_environment()
        body = a_model(environment, rabbitmq_password=CANARY)
        key = {"idempotency-key": "k-1"}
        answers = [
            await door.post("/models", body, **key),
            await door.post("/models", body, **key),
            await door.post("/models", body),
            await door.post("/models", {**body, "rabbitmq_port": "x"}),
            await door.post("/models", {**body, "rabbitmq_password": [CANARY]}),
            await door.post("/models", {**body, CANARY[:6]: 1, "name": ""}),
            await door.post("/models", {**body, "rabbitmq_password": CANARY + "x" * 1001}),
        ]
        id_ = answers[0].json()["data"]["id"]
        answers.append(await door.client.put(f"/api/v1/models/{id_}", json=body))
    assert [answer.status_code for answer in answers] == [201, 201, 409, 422, 422, 422, 422, 200]
    told = [answer.text for answer in answers]
    rows = [bytes(row["data"]) + bytes(row["meta"]) for row in door.world.log._rows]
    assert CANARY not in repr((told, rows, logs, door.keys.rows, door.secrets.rows, door.state))


async def test_a_bug_is_500_without_its_reason(door: Door):
    async def broken(*_: object, **__: object):
        raise Bug(f"it holds {CANARY}")

    door.app.state.doors.commands.execute = broken
    answer = await door.post("/environments", {"name": "one"})
    assert answer.status_code == 500
    assert CANARY not in answer.text


async def test_a_route_without_a_permission_stops_the_start():
    from fastapi import APIRouter

    check_declared([environments.router])
    router = APIRouter()
    router.add_api_route("/open", lambda: None)
    with pytest.raises(Bug, match="/open"):
        check_declared([router])


async def test_the_actor_of_an_event_is_who_asked(door: Door):
    await door.an_environment()
    assert door.world.facts(NameClaimed)
    assert {orjson.loads(row["meta"])["actor"] for row in door.world.log._rows} == {"api"}


@pytest.mark.parametrize("token", ["", "short", "fifteen-letters"])
async def test_a_weak_token_stops_the_start(token):
    with pytest.raises(ValidationError) as refused:
        settings(api_token=token)
    assert not token or token not in str(refused.value).replace("too_short", "")


def _requested(instance_id: str, model_id: str, node_id: str, gpu_index: int):
    from contracts.envelope import Recorded
    from services.chassis.clock import SystemClock

    data = {
        "instance_id": instance_id,
        "model_id": model_id,
        "model_name": "llama",
        "node_id": node_id,
        "gpu_index": gpu_index,
    }
    return Recorded(
        position=0,
        event_id="",
        stream=f"instance/{instance_id}",
        version=1,
        type="instance.start_requested",
        schema_version=1,
        data=data,
        recorded_at=SystemClock().now(),
    )
