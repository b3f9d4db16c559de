"""The scheduler as a process: follows the log, leads or stands by, and decides while it leads."""

from __future__ import annotations

import os
import socket
from typing import TYPE_CHECKING

from services.chassis.bus import connect
from services.chassis.clock import LogClock
from services.chassis.folding import Folding
from services.chassis.follower import Follower
from services.chassis.leadership import Leadership, lead
from services.chassis.proposer import Proposer
from services.chassis.run import run
from services.scheduler.handlers import Scheduler
from services.scheduler.settings import Settings
from services.scheduler.state import State

if TYPE_CHECKING:
    from services.chassis.ports import Bus
    from services.chassis.run import Context

SERVICE = "scheduler"


async def main(context: Context) -> None:
    """Run until told to stop."""
    settings = Settings()
    bus = await connect(SERVICE, settings.amqp_url)
    try:
        await schedule(context, bus, settings)
    finally:
        await bus.close()


async def schedule(context: Context, bus: Bus, settings: Settings) -> None:
    """Fold for ever; decide while leading, if deciding is on."""
    state = State()
    follower = Follower(
        bus,
        SERVICE,
        State.TYPES,
        context.clock,
        telemetry_window_s=settings.scheduler_telemetry_window_s,
    )
    folding = Folding(
        follower,
        state.apply,
        LogClock(context.clock),
        on_stopped=lambda detail: context.health.report("fold", not detail, detail),
        service=SERVICE,
    )
    if not settings.enable_scheduler:
        context.health.report("deciding", ok=True, detail="switched off by ENABLE_SCHEDULER")
        await folding.run()
        return
    proposer = Proposer(bus, SERVICE, context.clock)
    scheduler = Scheduler(
        state,
        folding,
        proposer,
        context.clock,
        context.health,
        interval_s=settings.scheduler_interval,
    )
    holder = f"{socket.gethostname()}:{os.getpid()}"
    await lead(Leadership(bus, proposer, SERVICE, holder, folding), folding, scheduler.act)


def start() -> int:
    """Run the service; return its exit code."""
    return run(SERVICE, main)
