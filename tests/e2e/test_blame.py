"""A worker is killed on real engines: the log tells what came of it, and whose wish it served."""

from __future__ import annotations

import asyncio
import os
import sys
from typing import TYPE_CHECKING, Any

import pytest

from tests.e2e.fleet import eventually, started

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.e2e.fleet import Fleet

pytestmark = pytest.mark.timeout(180)

REPLACED_WITHIN_S = 45.0
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
