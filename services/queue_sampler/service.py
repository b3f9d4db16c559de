"""Wiring of the queue sampler."""

from __future__ import annotations

from services.chassis import bus
from services.chassis.clock import LogClock
from services.chassis.folding import Folding
from services.chassis.follower import Follower
from services.chassis.ids import new_id
from services.chassis.keeping import Keeper
from services.chassis.leadership import Leadership, lead
from services.chassis.ports import Bus
from services.chassis.proposer import Proposer
from services.chassis.run import Context, run
from services.chassis.secrets import Revealed
from services.chassis.targets import AllowList
from services.queue_sampler.adapters.management import ManagementApi
from services.queue_sampler.adapters.passive import PassiveDeclare
from services.queue_sampler.handlers import Outside, Pace, Sampler
from services.queue_sampler.settings import Settings
from services.queue_sampler.state import State

NAME = "queue_sampler"
INTERVALS_BACK = 3  # telemetry older than this says nothing of a queue's length now


async def main(context: Context) -> None:
    """Sample the queues of all models until told to stop."""
    settings = Settings()
    broker = await bus.connect(NAME, settings.amqp_url)
    try:
        await sample(context, broker, settings)
    finally:
        await broker.close()


async def sample(context: Context, broker: Bus, settings: Settings) -> None:
    """Fold for ever, and sample while leading."""
    networks = AllowList(settings.broker_networks)
    timeout_s = settings.queue_sample_timeout
    management = ManagementApi(networks, timeout_s=timeout_s)
    passive = PassiveDeclare(networks, context.clock, timeout_s=timeout_s)
    try:
        probes = passive if settings.queue_probe else None
        await _lead(context, broker, settings, Outside(management, probes, Revealed(broker)))
    finally:
        await passive.close()
        await management.close()


async def _lead(context: Context, broker: Bus, settings: Settings, outside: Outside) -> None:
    state = State()
    window_s = INTERVALS_BACK * settings.queue_sample_interval
    folding = Folding(
        Follower(broker, NAME, State.TYPES, context.clock, telemetry_window_s=window_s),
        state.apply,
        LogClock(context.clock),
        on_stopped=lambda detail: context.health.report("fold", not detail, detail),
        service=NAME,
        keeper=Keeper(broker, NAME, state, context.clock, pace=settings.snapshot_pace()),
    )
    proposer = Proposer(broker, NAME, context.clock)
    sampler = Sampler(
        state, folding, proposer, outside, context.clock, context.health, _pace(settings)
    )
    leadership = Leadership(broker, proposer, NAME, new_id(NAME), folding)
    await lead(leadership, folding, sampler.act)


def _pace(settings: Settings) -> Pace:
    return Pace(
        sample_s=settings.queue_sample_interval,
        probe_s=settings.queue_probe_interval,
        at_once=settings.queue_sample_at_once,
        per_broker=settings.queue_samples_per_broker,
    )


def start() -> int:
    """Run the queue sampler in this process."""
    return run(NAME, main)
