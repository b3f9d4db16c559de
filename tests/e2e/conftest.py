"""One fleet for all that is asked of it and all that is broken in it; it tells a collector."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import pytest_asyncio

from tests.e2e.fleet import started
from tests.otlp import Collected, a_collector

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from tests.e2e.fleet import Fleet

CANARY = "canary-9f27-must-not-be-read"


@pytest.fixture(scope="package")
def collected() -> Iterator[Collected]:
    """Take what every process tells from its start to its end."""
    with a_collector() as collected, pytest.MonkeyPatch.context() as environment:
        environment.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collected.url)
        environment.setenv("OTEL_METRIC_EXPORT_INTERVAL", "2000")
        environment.setenv("OTEL_BSP_SCHEDULE_DELAY", "500")
        yield collected


@pytest_asyncio.fixture(scope="package", loop_scope="package")
async def fleet(collected: Collected) -> AsyncIterator[Fleet]:
    """Start a platform that others' words were said to already, secret ones among them."""
    assert collected.url
    async with started() as running:
        await _say_secrets(running)
        yield running


async def _say_secrets(fleet: Fleet) -> None:
    """Send what nobody else may read by every way in."""
    await fleet.api("PATCH", f"/models/{fleet.models['painter']}", json={"description": "changed"})
    base = fleet.platform.gateway_url
    form = {"username": "somebody", "password": CANARY}
    await fleet.http.post(f"{base}/auth/jwt/login", data=form)
    await fleet.http.get(f"{base}/api/v1/models?token={CANARY}")
    await fleet.http.get("/models", headers={"X-API-Key": f"qmk_{CANARY}"})
    await fleet.http.get("/models", headers={"Authorization": f"Bearer {CANARY}"})
