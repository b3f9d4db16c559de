"""What a running fleet answers: what came of a death, what an old client asks, and no secret."""

from __future__ import annotations

import asyncio
import gzip
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from services.chassis.database import connect_pool
from tests.e2e.fleet import eventually, started

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.e2e.fleet import Fleet

pytestmark = pytest.mark.timeout(180)

REPLACED_WITHIN_S = 45.0
CANARY = "canary-9f27-must-not-be-read"
TABLES = """
select schemaname, tablename from pg_tables
 where schemaname not in ('pg_catalog', 'information_schema')"""
COMMAND = "from services.cli.service import main; main()"


@pytest.fixture(scope="module")
async def fleet() -> AsyncIterator[Fleet]:
    async with started() as running:
        yield running


@pytest.fixture(scope="module")
async def killed(fleet: Fleet) -> str:
    """An instance whose process was killed with SIGKILL, and which was replaced."""
    instance_id = await fleet.kill_worker("node-1")
    await eventually(lambda: fleet.is_replaced(instance_id), REPLACED_WITHIN_S)
    return instance_id


async def _death(fleet: Fleet, instance_id: str) -> dict[str, Any]:
    deaths = await fleet.events("instance.died")
    return next(each for each in deaths if each["data"]["instance_id"] == instance_id)


async def _replacement(fleet: Fleet, death: dict[str, Any]) -> dict[str, Any]:
    started_later = await fleet.events("instance.started", after=death["position"])
    model = death["data"]["model_id"]
    return next(each for each in started_later if each["data"]["model_id"] == model)


async def test_blame_of_a_replacement_leads_to_the_death_and_on_to_who_wanted_it(
    fleet: Fleet, killed: str
) -> None:
    death = await _death(fleet, killed)
    replacement = await _replacement(fleet, death)
    blamed = (await fleet.api("GET", f"/blame/{replacement['event_id']}"))["data"]
    assert blamed["origin"]["event_id"] == death["event_id"]
    types = [cause["type"] for cause in blamed["causes"]]
    assert types[:3] == ["instance.start_requested", "instance.died", "instance.started"]
    assert blamed["end"] == "first"
    assert (blamed["first"]["type"], blamed["first"]["nature"]) == ("model.registered", "asked")
    assert blamed["causes"][-1]["who"] == "api"


async def test_blame_of_a_death_leads_forward_to_its_replacement(fleet: Fleet, killed: str) -> None:
    death = await _death(fleet, killed)
    replacement = await _replacement(fleet, death)
    blamed = (await fleet.api("GET", f"/blame/{death['position']}"))["data"]
    positions = set(_positions(blamed["effects"]))
    assert replacement["position"] in positions
    assert {effect["type"] for effect in blamed["effects"]} >= {
        "gpu.freed",
        "gpu.allocated",
        "instance.start_requested",
    }


async def test_the_histories_of_all_that_it_concerned_tell_of_the_death(
    fleet: Fleet, killed: str
) -> None:
    data = (await _death(fleet, killed))["data"]
    for kind in ("instance", "model", "node", "gpu"):
        id_ = data["gpu_uuid" if kind == "gpu" else f"{kind}_id"]
        page = (await fleet.api("GET", f"/history/{kind}/{id_}"))["data"]
        told = [group["what"] for group in page["items"]]
        assert any("ran " in each and "killed by SIGKILL" in each for each in told), told


async def test_every_event_that_a_service_decided_or_did_names_its_cause(
    fleet: Fleet, killed: str
) -> None:
    del killed
    roots = {"lease.acquired"}
    measured = {"journal_lag", "messages_parked", "projector_lag"}  # nothing recorded began them
    events = await fleet.events()
    known = {event["event_id"]: event for event in events}
    for event in events:
        meta = event["meta"]
        if event["type"] == "alert.raised" and event["data"]["rule"] in measured:
            continue
        if meta["proposer"] in ("scheduler", "deployer", "alerter") and event["type"] not in roots:
            cause = known[meta["causation_id"]]
            assert cause["position"] < event["position"]
            first = cause["meta"]["correlation_id"] or cause["event_id"]
            assert meta["correlation_id"] == first


async def test_the_command_draws_it_plainly(fleet: Fleet, killed: str) -> None:
    death = await _death(fleet, killed)
    shown = await _command(fleet, "blame", str(death["position"]))
    assert f"> {death['position']} " in shown
    assert "killed by SIGKILL" in shown
    story = await _command(fleet, "history", "instance", killed)
    assert "killed by SIGKILL" in story


async def _command(fleet: Fleet, *arguments: str) -> str:
    told = {"QM_GATEWAY_URL": fleet.platform.gateway_url, "QM_API_TOKEN": fleet.platform.api_token}
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        COMMAND,
        *arguments,
        env={**os.environ, **told},
        stdout=asyncio.subprocess.PIPE,
    )
    output, _ = await process.communicate()
    assert process.returncode == 0
    return output.decode()


def _positions(effects: list[dict[str, Any]]) -> list[int]:
    below = [position for effect in effects for position in _positions(effect["effects"])]
    return [effect["position"] for effect in effects] + below


async def test_a_client_of_the_first_platform_finds_all_it_knew(fleet: Fleet) -> None:
    """Every call of rows S0.1 to S0.12, by HTTP alone and in the old words."""
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
        "rabbitmq_password": CANARY,
        "average_inference_time": 2.0,
    }
    model = (await fleet.api("POST", "/models", json=body))["data"]
    assert {name: model[name] for name in body if name != "rabbitmq_password"} == {
        name: value for name, value in body.items() if name != "rabbitmq_password"
    }
    assert CANARY not in str(model)
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


async def test_the_door_says_who_it_is_and_describes_itself(fleet: Fleet) -> None:
    url = fleet.platform.gateway_url
    for path in ("/", "/health", "/docs", "/openapi.json"):
        assert (await fleet.http.get(f"{url}{path}")).status_code == 200
    refused = await fleet.http.post("/environments", json={"name": ""})
    assert refused.status_code == 422
    assert [each["field"] for each in refused.json()["errors"]] == ["name"]


async def test_a_password_is_found_nowhere_it_may_be_read(fleet: Fleet) -> None:
    """Not in the log, the read models, any service's output, any state on disk, or a backup."""
    environment = (await fleet.api("POST", "/environments", json={"name": "secretive"}))["data"]
    body = {
        "name": "secretive",
        "environment_id": environment["id"],
        "rabbitmq_host": "127.0.0.1",
        "rabbitmq_queue_name": "secretive",
        "rabbitmq_username": "reader",
        "rabbitmq_password": CANARY,
        "average_inference_time": 2.0,
    }
    model = (await fleet.api("POST", "/models", json=body))["data"]
    await eventually(lambda: fleet.recorded("queue.unreachable", 0, model_id=model["id"]), 30.0)
    await _command(fleet, "log", "backup", "canary")
    owner = await connect_pool(fleet.engines.owner_url(), service="test", min_size=1, max_size=1)
    tables = await owner.fetch(TABLES)
    for schema, name in tables:
        found = await owner.fetchval(
            f"select count(*) from {schema}.{name} t where t::text like $1", f"%{CANARY}%"
        )
        assert found == 0, f"{schema}.{name}"
    await owner.close()
    holders = [path for path in fleet.state.rglob("*") if path.is_file() and _holds(path)]
    assert holders == []


def _holds(path: Path) -> bool:
    """Tell whether a file holds the canary; the models' broker is theirs, and keeps its own."""
    if path.parts[-2:] == ("agents", "secrets"):
        return False
    data = path.read_bytes()
    if path.suffix == ".gz":
        data = gzip.decompress(data)
    return CANARY.encode() in data
