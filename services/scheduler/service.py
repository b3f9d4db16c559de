"""The scheduler as a process: follows the log, leads or stands by, and decides while it leads."""

from __future__ import annotations

import os
import socket
from typing import TYPE_CHECKING

from services.chassis.bus import connect
from services.chassis.clock import LogClock
from services.chassis.folding import Folding
from services.chassis.follower import Follower
from services.chassis.keeping import Keeper
from services.chassis.leadership import Leadership, lead
from services.chassis.past import Past
from services.chassis.proposer import Proposer
from services.chassis.run import run
from services.chassis.supervision import Together
from services.scheduler.adapters.gauges import fleet_gauges
from services.scheduler.adapters.journal import JournalOverBus
from services.scheduler.handlers import Scheduler
from services.scheduler.routes.asked import Asked
from services.scheduler.routes.explain import Explaining
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
    """Fold for ever, and answer questions; decide while leading, if deciding is on."""
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
        keeper=Keeper(bus, SERVICE, state, context.clock, pace=settings.pace()),
    )
    scheduler = Scheduler(
        state,
        folding,
        Proposer(bus, SERVICE, context.clock),
        context.clock,
        context.health,
        interval_s=settings.scheduler_interval,
    )
    past = Past(
        bus,
        SERVICE,
        State,
        context.clock,
        telemetry_window_s=settings.scheduler_telemetry_window_s,
    )
    explaining = Explaining(
        state, folding, past, JournalOverBus(bus), context.clock, lambda: scheduler.is_deciding
    )
    asked = Asked(bus, explaining, folding.caught_up, context.clock.sleep)
    with fleet_gauges(state):
        async with Together() as tasks:
            tasks.create_task(asked.run())
            tasks.create_task(decide_or_follow(context, bus, settings, folding, scheduler))


async def decide_or_follow(
    context: Context, bus: Bus, settings: Settings, folding: Folding, scheduler: Scheduler
) -> None:
    """Fold for ever; decide while leading, if deciding is on."""
    if not settings.enable_scheduler:
        context.health.report("deciding", ok=True, detail="switched off by ENABLE_SCHEDULER")
        await folding.run()
        return
    holder = f"{socket.gethostname()}:{os.getpid()}"
    leadership = Leadership(bus, Proposer(bus, SERVICE, context.clock), SERVICE, holder, folding)
    await lead(leadership, folding, scheduler.act)


def start() -> int:
    """Run the service; return its exit code."""
    return run(SERVICE, main)
