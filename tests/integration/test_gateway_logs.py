"""What workers write is for who may operate: as it comes, and in all that tells of their deaths."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import httpx2
import pytest

from contracts.envelope import Draft
from contracts.events.instance import InstanceDied
from contracts.roles import PERMISSIONS
from services.gateway.decide.principals import Principal
from services.gateway.routes.logs import REFUSED
from tests.accounts_door import access_of
from tests.gateway_door import BEARER
from tests.in_memory import until
from tests.served_door import Served, a_served_door, reading

DIED = InstanceDied(
    instance_id="i-1",
    model_id="m-1",
    node_id="nod-1",
    gpu_uuid="GPU-1",
    because="exited",
    log_tail="the prompt that killed it",
)


class QuietWorker:
    """Writes one line, and then nothing; it is told when nobody reads it any more."""

    def __init__(self) -> None:
        self.is_left = False

    async def logs(self, agent_url, instance_id, tail, *, follow):
        return self._lines()

    async def _lines(self):
        try:
            yield b"one\n"
            await asyncio.sleep(60)
        finally:
            self.is_left = True


class Knows:
    """Takes everybody for the same one."""

    def __init__(self, role: str | None) -> None:
        self.role = role

    async def principal(self, _: object) -> Principal | None:
        return Principal("vic", PERMISSIONS[self.role], "account", "acc-1") if self.role else None


@pytest.fixture
async def served():
    async with a_served_door(stream_heartbeat_s=0.2) as door:
        door.door.query.answers |= {
            "/instances/i-1": (200, {"node_id": "nod-1"}),
            "/nodes/nod-1": (200, {"agent_url": "http://10.0.0.7:8090"}),
        }
        yield door


@pytest.mark.parametrize("role", ["viewer", None])
async def test_a_log_that_is_followed_ends_with_the_readers_rights_though_it_is_quiet(
    served: Served, monkeypatch, role
):
    monkeypatch.setattr("services.gateway.routes.logs.ASK_AGAIN_S", 0.05)
    state, worker = served.door.app.state, QuietWorker()
    state.doors = replace(state.doors, workers=worker)
    path = "/api/v1/instances/i-1/logs?follow=true"
    async with (
        httpx2.AsyncClient(base_url=served.url, headers=BEARER, timeout=10) as client,
        client.stream("GET", path) as response,
    ):
        lines = response.aiter_raw()
        assert await anext(lines) == b"one\n"
        await asyncio.sleep(0.2)
        assert not worker.is_left  # who may read reads on
        state.authenticator = Knows(role)
        assert b"".join([each async for each in lines]) == REFUSED
    await until(lambda: worker.is_left, "nothing is read any more")
    assert served.live.streams.active == 0


async def as_a(served: Served, role: str) -> dict[str, str]:
    """Return what somebody of this role sends with every request."""
    return {"authorization": f"Bearer {await access_of(served.door, f'a-{role}', role)}"}


@pytest.mark.parametrize("role", ["viewer", "operator"])
async def test_a_stream_tells_a_death_with_its_last_lines_to_who_may_read_logs(
    served: Served, role
):
    headers = await as_a(served, role)
    await served.door.world.as_leader("node_monitor", Draft("instance/i-1", DIED))
    async with reading(served, "?after=0&type=instance.*", **headers) as reader:
        await served.door.world.as_leader("node_monitor", Draft("instance/i-2", DIED))
        for told in await reader.until_events(2):
            known = told.data["data"].pop("log_tail", None)
            assert known == (DIED.log_tail if role == "operator" else None)
            assert told.data["data"] == DIED.model_dump(exclude={"log_tail"})


async def test_readers_at_once_share_only_what_both_may_see(served: Served):
    headers = await as_a(served, "viewer")
    deaths = "?type=instance.died"
    async with reading(served, deaths) as operator, reading(served, deaths, **headers) as viewer:
        await served.door.world.as_leader("node_monitor", Draft("instance/i-1", DIED))
        [seen], [hidden] = [await each.until_events(1) for each in (operator, viewer)]
    assert seen.data["data"].pop("log_tail") == DIED.log_tail
    assert seen.data == hidden.data


async def test_a_stream_with_logs_ends_when_they_may_not_be_read_any_more(
    served: Served, monkeypatch
):
    headers = await as_a(served, "viewer")
    monkeypatch.setattr("services.gateway.routes.streams.ASK_AGAIN_S", 0.0)
    async with reading(served, **headers) as viewer:
        async with reading(served) as operator:
            served.door.app.state.authenticator = Knows("viewer")
            await until(lambda: operator.has_ended, "it was ended")
        heard = len(viewer.told)
        await until(lambda: len(viewer.told) > heard, "without logs it goes on")
        assert not viewer.has_ended


@pytest.mark.parametrize(
    "path", ["/instances", "/instances/i-1", "/deployments/status", "/events", "/history/gpu/g-1"]
)
async def test_a_read_for_who_may_not_read_logs_asks_for_none(served: Served, path):
    door = served.door
    door.query.answers[path] = (200, {"items": []})
    for role, asked in (("viewer", ["false"]), ("operator", ["true"])):
        headers = await as_a(served, role)
        answer = await door.client.get(f"/api/v1{path}?log_tails=true", headers=headers)
        assert answer.status_code == 200, answer.text
        assert door.query.asked[-1].url.params.get_list("log_tails") == asked
