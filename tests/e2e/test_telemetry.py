"""Real services tell a collector what they do: one trace through all of them, and no secret."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from deploy.grafana.metrics import METRICS
from deploy.prometheus.rules import RULES
from tests.e2e.fleet import eventually, started
from tests.metrics_store import BINARY, a_store, panel_queries
from tests.otlp import Collected, Span, a_collector

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.e2e.fleet import Fleet

pytestmark = pytest.mark.timeout(240)

SENT = "send qm.proposed"
CANARY = "canary-Zx81kQ"


@dataclass
class Told:
    """What arrived, and what must not have."""

    collected: Collected
    secrets: list[str]


@pytest.fixture(scope="module")
async def told() -> AsyncIterator[Told]:
    """Everything that a short life of a whole platform told, from its start to its end."""
    with a_collector() as collected, pytest.MonkeyPatch.context() as environment:
        environment.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collected.url)
        environment.setenv("OTEL_METRIC_EXPORT_INTERVAL", "2000")
        environment.setenv("OTEL_BSP_SCHEDULE_DELAY", "500")
        async with started() as fleet:
            await _say_secrets(fleet)
            secrets = _secrets(fleet)
            await _until_told(collected)
            instance_id = await fleet.kill_worker("node-1")  # so that rates of starts have a rise
            await eventually(lambda: fleet.is_replaced(instance_id), 45.0)
        yield Told(collected, secrets)


async def _until_told(collected: Collected) -> None:
    """Return when every metric that is asked about has come, twice: rates need two."""

    def missing() -> list[str]:
        return [each.name for each in METRICS if len(collected.points.get(each.name, ())) < 2]

    for _ in range(200):
        if not missing():
            return
        await asyncio.sleep(0.2)
    raise AssertionError(f"never told: {missing()}, but {sorted(collected.points)}")


async def _say_secrets(fleet: Fleet) -> None:
    """Send what nobody else may read by every way in."""
    await fleet.api("PATCH", f"/models/{fleet.models['painter']}", json={"description": "changed"})
    base = fleet.platform.gateway_url
    form = {"username": "somebody", "password": CANARY}
    await fleet.http.post(f"{base}/auth/jwt/login", data=form)
    await fleet.http.get(f"{base}/api/v1/models?token={CANARY}")
    await fleet.http.get("/models", headers={"X-API-Key": f"qmk_{CANARY}"})
    await fleet.http.get("/models", headers={"Authorization": f"Bearer {CANARY}"})


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


async def test_one_trace_leads_from_a_command_to_the_worker_it_starts(told: Told) -> None:
    commands = [
        span
        for span in told.collected.spans
        if (span.service, span.name) == ("gateway", "POST /api/v1/models")
    ]
    assert commands
    for command in commands:
        trace = told.collected.trace(command.trace_id)
        start = next(span for span in trace if span.name == "start worker")
        assert _ancestors(trace, start) == [
            ("agent", "start worker"),
            ("agent", "POST /instances"),
            ("deployer", "POST"),
            ("deployer", "start on node"),
            ("scheduler", SENT),
            ("scheduler", "decide instance.start_requested"),
            ("gateway", SENT),
            ("gateway", "POST /api/v1/models"),
        ]


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
