"""What a client of the first platform asks for, by HTTP alone and in the old words."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.e2e.fleet import Fleet


async def asks_for_everything(fleet: Fleet, password: str) -> None:
    """Make every call of rows S0.1 to S0.12, and find what they always answered."""
    env = (await fleet.api("POST", "/environments", json={"name": "old"}))["data"]
    environment = f"/environments/{env['id']}"
    changed = await fleet.api("PUT", environment, json={"name": "old", "description": "renamed"})
    assert changed["data"]["description"] == "renamed"
    body = {
        "name": "old-model",
        "environment_id": env["id"],
        "rabbitmq_host": "127.0.0.1",
        "rabbitmq_port": 15672,
        "rabbitmq_vhost": "/",
        "rabbitmq_queue_name": "old",
        "rabbitmq_username": "reader",
        "rabbitmq_password": password,
        "average_inference_time": 2.0,
    }
    model = (await fleet.api("POST", "/models", json=body))["data"]
    assert {name: model[name] for name in body if name != "rabbitmq_password"} == {
        name: value for name, value in body.items() if name != "rabbitmq_password"
    }
    assert password not in str(model)
    listed = await fleet.api("GET", f"{environment}/models")
    assert [each["id"] for each in listed["data"]["items"]] == [model["id"]]
    await _asks_for_queues_and_strategies(fleet)
    await _asks_for_nodes(fleet)
    await fleet.api("DELETE", f"/models/{model['id']}")
    await fleet.api("DELETE", environment)
    gone = await fleet.http.get(environment)
    assert gone.status_code == 404
    assert gone.json()["title"]


async def _asks_for_queues_and_strategies(fleet: Fleet) -> None:
    model_id = fleet.models["painter"]
    queues = (await fleet.api("GET", "/queues"))["data"]["items"]
    assert model_id in {queue["model_id"] for queue in queues}
    assert (await fleet.api("GET", f"/queues/{model_id}"))["data"]["model_id"] == model_id
    history = (await fleet.api("GET", f"/queues/{model_id}/history?limit=3"))["data"]["items"]
    assert 0 < len(history) <= 3
    (strategy,) = (await fleet.api("GET", "/scheduling-strategies"))["data"]["items"]
    where = f"/scheduling-strategies/{strategy['id']}"
    off = await fleet.api("POST", f"{where}/deactivate")
    assert (await fleet.api("GET", f"{where}?min_position={off['position']}"))["data"][
        "active"
    ] is False
    await fleet.api("POST", f"{where}/activate")


async def _asks_for_nodes(fleet: Fleet) -> None:
    nodes = (await fleet.api("GET", "/nodes"))["data"]["items"]
    deployed = (await fleet.api("GET", "/deployments/status"))["data"]["items"]
    assert {node["id"] for node in nodes} == {each["node_id"] for each in deployed}
    node = next(each for each in nodes if each["name"] == "node-1")
    where = f"/nodes/{node['id']}"
    for what in ("status", "models", "gpus"):
        assert (await fleet.api("GET", f"{where}/{what}"))["data"]
    beat = await fleet.http.post(f"{where}/heartbeat", json={})
    assert beat.is_success, beat.text
    asked = {"model_name": "painter", "gpu_id": 1, "config": {}}
    begun = await fleet.http.post(f"{where}/models/start", json=asked)
    assert begun.status_code == 202, begun.text
    refused = await fleet.http.post(f"{where}/models/start", json={"model_name": "nobody"})
    assert refused.status_code == 422
    assert refused.json()["errors"][0]["field"] == "model_name"
    killed = await fleet.http.post(f"{where}/kill-process", json={"pid": 4_000_000})
    assert killed.status_code == 202, killed.text
