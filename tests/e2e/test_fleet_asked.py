"""What a running fleet tells whoever asks, and a collector that never does; never a secret.

What came of a death, an old client's calls, one trace through all services.
"""

from __future__ import annotations

import asyncio
import gzip
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import pytest_asyncio

from deploy.grafana.metrics import METRICS
from deploy.prometheus.rules import RULES
from services.chassis.database import connect_pool
from tests.e2e import old_client
from tests.e2e.conftest import CANARY
from tests.e2e.fleet import eventually
from tests.metrics_store import BINARY, a_store, panel_queries
from tests.otlp import Collected, Span

if TYPE_CHECKING:
    from tests.e2e.fleet import Fleet

pytestmark = [pytest.mark.timeout(240), pytest.mark.asyncio(loop_scope="package")]

REPLACED_WITHIN_S = 45.0
TABLES = """
select schemaname, tablename from pg_tables
 where schemaname not in ('pg_catalog', 'information_schema')"""
SENT = "send qm.proposed"
COMMAND = "from services.cli.service import main; main()"


@dataclass
class Told:
    """What arrived at the collector, and what must not have."""

    collected: Collected
    secrets: list[str]


@pytest_asyncio.fixture(scope="module", loop_scope="package")
async def killed(fleet: Fleet) -> str:
    """An instance whose process was killed with SIGKILL, and which was replaced."""
    instance_id = await fleet.kill_worker("node-1")
    await eventually(lambda: fleet.is_replaced(instance_id), REPLACED_WITHIN_S)
    return instance_id


@pytest_asyncio.fixture(scope="module", loop_scope="package")
async def told(fleet: Fleet, killed: str, collected: Collected) -> Told:
    """Everything that was told by now: every metric at least twice, for rates need two."""
    del killed  # so that rates of starts have a rise
    await _until_told(collected)
    return Told(collected, _secrets(fleet))


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
    await old_client.asks_for_everything(fleet, CANARY)


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


async def _until_told(collected: Collected) -> None:
    """Return when every metric that is asked about has come twice."""

    def missing() -> list[str]:
        return [each.name for each in METRICS if len(collected.points.get(each.name, ())) < 2]

    for _ in range(200):
        if not missing():
            return
        await asyncio.sleep(0.2)
    raise AssertionError(f"never told: {missing()}, but {sorted(collected.points)}")


def _secrets(fleet: Fleet) -> list[str]:
    credentials = fleet.engines.credentials
    return [
        CANARY,
        fleet.platform.api_token,
        fleet.platform.agent_token,
        *credentials.broker.values(),
        *credentials.database.values(),
    ]


def _ancestors(trace: list[Span], span: Span) -> list[tuple[str, str]]:
    """Return what led to a span, itself first, but for the steps inside of the HTTP framework."""
    by_id = {each.span_id: each for each in trace}
    found: list[tuple[str, str]] = []
    at: Span | None = span
    while at is not None:
        if not at.name.startswith("fastapi."):
            found.append((at.service, at.name))
        at = by_id.get(at.parent_id)
    return found


async def test_one_trace_leads_from_a_command_to_the_worker_it_starts(
    fleet: Fleet, told: Told
) -> None:
    """Every model's command to its first; the one that replaces it later has a longer way."""
    whole = [
        ("agent", "start worker"),
        ("agent", "POST /instances"),
        ("deployer", "POST"),
        ("deployer", "start on node"),
        ("scheduler", SENT),
        ("scheduler", "decide instance.start_requested"),
        ("gateway", SENT),
        ("gateway", "POST /api/v1/models"),
    ]
    traced = {
        start.trace_id
        for start in told.collected.spans
        if start.name == "start worker"
        and _ancestors(told.collected.trace(start.trace_id), start) == whole
    }
    assert len(traced) >= len(fleet.models)


async def test_the_journal_appends_in_the_trace_of_who_proposed(told: Told) -> None:
    appends = [s for s in told.collected.spans if s.name == "process journal.proposed"]
    assert {span.service for span in appends} == {"journal"}
    sent = {span.span_id: span for span in told.collected.spans if span.name == SENT}
    assert {"gateway", "scheduler", "deployer"} <= {
        sent[span.parent_id].service for span in appends if span.parent_id in sent
    }
    told_of = appends[0].attributes
    assert told_of["messaging.system"] == "rabbitmq"
    assert told_of["messaging.operation.type"] == "process"


async def test_log_lines_say_which_trace_they_belong_to(told: Told) -> None:
    lines = [line for line in told.collected.logs if line["service"] == "agent"]
    start = next(line for line in lines if line["body"] == "start")
    names = {(s.service, s.name) for s in told.collected.trace(start["trace_id"])}
    assert ("gateway", "POST /api/v1/models") in names


async def test_no_secret_leaves_by_this_door(told: Told) -> None:
    assert len(told.collected.bodies) > 10
    for secret in told.secrets:
        assert not any(secret.encode() in body for body in told.collected.bodies)


async def test_everything_that_dashboards_and_rules_ask_about_is_really_told(told: Told) -> None:
    for metric in METRICS:
        unit, kind = told.collected.units[metric.name]
        assert (unit, kind) == (metric.unit, metric.kind), metric.name
        points = told.collected.points[metric.name]
        for attribute in ("service.name", *metric.attributes):
            assert any(attribute in point for point in points), (metric.name, attribute)


if BINARY is not None:  # without a metrics store here, the test above is what there is

    async def test_every_panel_and_every_rule_gets_an_answer_of_a_metrics_store(told: Told) -> None:
        async with a_store(BINARY) as store:
            await store.take(told.collected.metrics)
            for board, title, expression in panel_queries():
                assert await store.ask(expression), f"{board}: {title}: {expression}"
            for rule in RULES:
                await store.ask(rule.when)
