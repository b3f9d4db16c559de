"""What the demo creates: every interval in compressed time, and the same command once."""

import json
from collections.abc import Callable
from typing import Any

import httpx2
import pytest

from contracts.http.models import NewModel
from contracts.http.nodes import NewNode
from contracts.http.strategies import NewStrategy
from contracts.policies import validate_parameters
from deploy.demo import fleet
from deploy.demo.client import Gateway
from deploy.demo.errors import DemoError
from deploy.local.platform import Node

BROKER = fleet.Broker("127.0.0.1", 15672, 5672, "models", "models", "a password")
Answer = Callable[[httpx2.Request], httpx2.Response]


def _gateway(answer: Answer) -> Gateway:
    gateway = Gateway("http://gateway", "a token")
    gateway._http = httpx2.AsyncClient(
        base_url="http://gateway", transport=httpx2.MockTransport(answer)
    )
    return gateway


def _data(data: Any, status: int = 200) -> httpx2.Response:
    return httpx2.Response(status, json={"data": data})


@pytest.mark.parametrize("speed", [0.5, 1.0, 60.0, 1000.0])
def test_what_is_created_is_what_the_gateway_takes(speed: float) -> None:
    strategy = NewStrategy.model_validate(fleet.strategy(speed))
    validate_parameters(fleet.POLICY, strategy.parameters)
    NewModel.model_validate(fleet.model("m", 20.0, speed, BROKER) | {"environment_id": "e"})


def test_at_the_traces_own_speed_the_policy_is_the_platforms() -> None:
    assert fleet.strategy(1.0)["parameters"] == {
        "window_s": 300.0,
        "busy_threshold_s": 30.0,
        "idle_s": 300.0,
        "stale_s": 180.0,
        "retry_base_s": 10.0,
    }
    assert fleet.settings(1.0)["QM_QUEUE_SAMPLE_INTERVAL"] == "60.000"


def test_speed_divides_intervals_down_to_what_the_machine_can_keep() -> None:
    assert fleet.settings(60.0)["QM_QUEUE_SAMPLE_INTERVAL"] == "1.000"
    assert fleet.settings(1000.0)["QM_QUEUE_SAMPLE_INTERVAL"] == "0.500"
    fast = fleet.strategy(1000.0)["parameters"]
    assert fast["window_s"] >= 2 * fleet.LEAST_SAMPLE_S


async def test_everything_is_created_within_its_environment() -> None:
    sent: list[tuple[str, Any]] = []

    def answer(request: httpx2.Request) -> httpx2.Response:
        sent.append((request.url.path, json.loads(request.content)))
        return _data({"id": "env-1"}, 201)

    gateway = _gateway(answer)
    nodes = [Node("n", "http://127.0.0.1:1234", 4)]
    await fleet.create(gateway, nodes, {"m": 20.0}, 60.0, BROKER)
    await gateway.close()
    assert [path.rpartition("/")[2] for path, _ in sent] == [
        "environments",
        "scheduling-strategies",
        "models",
        "nodes",
    ]
    assert sent[2][1]["environment_id"] == sent[3][1]["environment_id"] == "env-1"
    NewNode.model_validate(sent[3][1])


async def test_the_same_command_has_the_same_key_whatever_the_password() -> None:
    keys: list[str] = []

    def answer(request: httpx2.Request) -> httpx2.Response:
        keys.append(request.headers["Idempotency-Key"])
        return _data({"id": "1"})

    gateway = _gateway(answer)
    for password in ("one", "two"):
        await gateway.put("/models", {"name": "m", "rabbitmq_password": password})
    await gateway.put("/models", {"name": "other"})
    await gateway.close()
    assert keys[0] == keys[1] != keys[2]


async def test_what_exists_already_is_changed_to_what_is_wanted() -> None:
    def answer(request: httpx2.Request) -> httpx2.Response:
        if request.method == "POST":
            return httpx2.Response(409, json={"detail": "the name is taken"})
        if request.method == "GET":
            return _data({"items": [{"id": "mdl-1", "name": "m"}], "next_cursor": None})
        assert request.url.path.endswith("/models/mdl-1")
        return _data({"id": "mdl-1", **json.loads(request.content)})

    gateway = _gateway(answer)
    changed = await gateway.put("/models", {"name": "m", "description": "d"})
    await gateway.close()
    assert changed == {"id": "mdl-1", "name": "m", "description": "d"}


async def test_a_gateway_that_is_not_there_yet_is_asked_again() -> None:
    answers = iter([httpx2.Response(503), _data({"id": "1"})])
    gateway = _gateway(lambda _: next(answers))
    assert await gateway.put("/nodes", {"name": "n"}) == {"id": "1"}
    await gateway.close()


async def test_a_refusal_names_the_field() -> None:
    problem = {"detail": "wrong", "errors": [{"field": "agent_url", "message": "no URL"}]}
    gateway = _gateway(lambda _: httpx2.Response(422, json=problem))
    with pytest.raises(DemoError, match="agent_url: no URL"):
        await gateway.put("/nodes", {"name": "n"})
    await gateway.close()
