"""The command against a real gateway: what it sends is taken, and what comes is followed."""

from __future__ import annotations

import asyncio
import os
import sys
from dataclasses import replace

import orjson
import pytest

from contracts.events.environment import EnvironmentCreated
from services.chassis import wire
from services.chassis.ports import Message
from services.journal import parked
from tests.gateway_door import TOKEN
from tests.in_memory import until
from tests.served_door import a_served_door
from tests.unit.cli.test_apply import FLEET
from tests.unit.journal.test_parked import a_proposal

EMPTY = {"items": [], "next_cursor": None}
COMMAND = "from services.cli.service import main; main()"


@pytest.fixture
async def served(monkeypatch):
    for name in ("FIRST_S", "NEXT_S"):
        monkeypatch.setattr(parked, name, 0.02)
    async with a_served_door() as served:
        served.door.query.answers |= {
            f"/{each}": (200, EMPTY)
            for each in ("environments", "models", "nodes", "strategies", "webhooks")
        }
        served.door.query.answers["/status"] = (200, {"head": 0})
        yield served


@pytest.fixture
def environment(served, tmp_path):
    told = {"QM_URL": served.url, "QM_TOKEN": TOKEN, "LLAMA_PASSWORD": "s3cret"}
    return {**os.environ, **told, "XDG_CONFIG_HOME": str(tmp_path), "HOME": str(tmp_path)}


async def begun(environment, *arguments):
    return await asyncio.create_subprocess_exec(
        sys.executable, "-c", COMMAND, *arguments,
        env=environment, stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip


async def said(environment, *arguments, typed=b""):
    command = await begun(environment, *arguments)
    async with asyncio.timeout(60):
        out, error = await command.communicate(typed)
    return command.returncode, out.decode(), error.decode()


async def test_manifests_are_taken_by_the_gateway_and_events_are_followed(served, environment):
    following = await begun(environment, "events", "-f", "-t", "environment.created", "-n", "1")
    await until(lambda: served.live.streams.active, "somebody follows")
    # What is there is the read models' word, which are not here: the environment is made before.
    code, out, error = await said(
        environment, "apply", "-f", "-", "--yes", typed=FLEET.split("---\n")[1].encode()
    )
    assert (code, "+ Environment production" in out) == (0, True), error
    async with asyncio.timeout(20):
        told, _ = await following.communicate()
    assert b"environment.created" in told
    (made,) = served.door.world.facts(EnvironmentCreated)
    there = {"environment_id": made.environment_id, "name": "production"}
    served.door.query.answers["/environments"] = (200, {**EMPTY, "items": [there]})
    code, _, error = await said(environment, "apply", "-f", "-", "--yes", typed=FLEET.encode())
    assert code == 0, error
    types = {"model.registered", "node.registered", "strategy.created", "webhook.registered"}
    assert types <= set(served.door.types())
    assert "s3cret" not in str(served.door.world.log._rows)


async def test_what_is_parked_is_an_admins_to_settle(served, environment):
    bus = served.door.world.broker.bus("gateway")
    bodies = (a_proposal(type="queue.sampled"), a_proposal("e-9"))
    await bus.publish(wire.EXCHANGE_PROPOSED, "proposal", Message(bodies[0]), mandatory=True)
    keeper = served.door.world.broker.bus("journal")
    headers = {"reason": "not_allowed", "proposer": "gateway"}
    await keeper.publish("qm.parked", "parked", Message(bodies[1], headers), mandatory=True)
    await until(lambda: served.door.world.broker.depth(wire.QUEUE_PARKED) == 2)
    code, out, error = await said(environment, "parked", "list", "-o", "json")
    assert code == 0, error
    by_stream = {each["types"][0]: each["id"] for each in orjson.loads(out)["items"]}
    hopeless, fine = by_stream["queue.sampled"], by_stream["environment.created"]
    code, _, error = await said(environment, "parked", "retry", hopeless, "-y")
    assert (code, "it is refused again and stays parked" in error) == (1, True), error
    assert (await said(environment, "parked", "retry", fine, "-y"))[0] == 0
    code, _, error = await said(environment, "parked", "drop", hopeless, "-y", "--because", "noise")
    assert code == 0, error
    assert served.door.types() == ["environment.created", "parked.retried", "parked.dropped"]
    actors = [orjson.loads(row["meta"])["actor"] for row in served.door.world.log._rows]
    assert actors == ["ada", "api", "api"]


class Workers:
    """Writes two lines."""

    def __init__(self) -> None:
        self.asked = []

    async def logs(self, agent_url, instance_id, tail, *, follow):
        self.asked.append((agent_url, instance_id, tail, follow))
        return self._lines()

    async def _lines(self):
        yield b"one\n"
        yield b"two\n"


async def test_a_workers_log_comes_through_the_gateway(served, environment):
    state, workers = served.door.app.state, Workers()
    state.doors = replace(state.doors, workers=workers)
    served.door.query.answers |= {
        "/instances/i-1": (200, {"node_id": "nod-1", "log_tail": "the last words\n"}),
        "/nodes/nod-1": (200, {"agent_url": "http://10.0.0.7:8090"}),
    }
    code, out, error = await said(environment, "logs", "i-1", "-f", "-n", "7")
    assert (code, out) == (0, "one\ntwo\n"), error
    assert workers.asked == [("http://10.0.0.7:8090", "i-1", 7, True)]
    assert served.live.streams.active == 0
    del served.door.query.answers["/nodes/nod-1"]
    assert await said(environment, "logs", "i-1") == (0, "the last words\n", "")
