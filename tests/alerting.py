"""An alerter in memory that is in a hurry."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from services.alerter.service import watch
from services.alerter.settings import Settings
from tests.in_memory import World, ended

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from services.chassis.memory import MemoryBus

HURRIED = {
    "alert_tick": 0.05,
    "alert_calm_scale": 0.0,
    "alert_lag_interval": 0.05,
    "webhook_retry_scale": 0.01,
    "webhook_networks": "127.0.0.0/8,::1/128",
    "webhook_allow_http": True,
    "webhook_timeout": 0.5,
}


@asynccontextmanager
async def alerting(world: World, **settings: Any) -> AsyncIterator[MemoryBus]:
    """Run an alerter."""
    bus = world.broker.bus("alerter")
    wanted = Settings(_env_file=None, **{**HURRIED, **settings})
    task = asyncio.create_task(watch(world.context("alerter"), bus, wanted))
    try:
        yield bus
    finally:
        await ended(task)
        await bus.close()
