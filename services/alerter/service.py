"""Wiring of the alerter."""

from __future__ import annotations

from services.alerter.adapters.journal import JournalOverBus
from services.alerter.adapters.webhook import WebhookDoor
from services.alerter.decide import RETRIES_S
from services.alerter.handlers import Alerter, Ears, Gauge, Pace, Post, Watchman
from services.alerter.settings import Settings
from services.alerter.state import Limits, State, View
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
from services.chassis.supervision import Together

NAME = "alerter"


async def main(context: Context) -> None:
    """Watch over the fleet until told to stop."""
    settings = Settings()
    broker = await bus.connect(NAME, settings.amqp_url)
    try:
        await watch(context, broker, settings)
    finally:
        await broker.close()


async def watch(context: Context, broker: Bus, settings: Settings) -> None:
    """Fold for ever, alert while leading, and cry out when the log is silent."""
    door = WebhookDoor(
        settings.webhook_targets(resolve_s=settings.webhook_timeout),
        context.clock,
        timeout_s=settings.webhook_timeout,
        ca=settings.webhook_ca,
    )
    try:
        await _lead(context, broker, settings, door)
    finally:
        await door.close()


async def _lead(context: Context, broker: Bus, settings: Settings, door: WebhookDoor) -> None:
    window_s = settings.queue_growth_recent + settings.queue_growth_before
    state, holder, secrets = State(window_s), new_id(NAME), Revealed(broker)
    follower = Follower(broker, NAME, State.TYPES, context.clock, telemetry_window_s=window_s)
    folding = Folding(
        follower,
        state.apply,
        LogClock(context.clock),
        on_stopped=lambda detail: context.health.report("fold", not detail, detail),
        service=NAME,
        keeper=Keeper(broker, NAME, state, context.clock, pace=settings.snapshot_pace()),
    )
    proposer = Proposer(broker, NAME, context.clock)
    leadership = Leadership(broker, proposer, NAME, holder, folding)
    pace = _pace(settings)
    gauge = Gauge(
        JournalOverBus(broker),
        lambda lag, well: View(state, folding.now(), pace.limits, lag, well),
    )
    post = Post(door, secrets, pace.per_webhook)
    alerter = Alerter(state, folding, proposer, post, gauge, context.health, pace)
    ears = Ears(follower, gauge)
    watchman = Watchman(state, holder, ears, door, secrets, context.clock, pace)
    async with Together() as tasks:
        tasks.create_task(lead(leadership, folding, alerter.act))
        tasks.create_task(gauge.watch(context.clock, settings.alert_lag_interval))
        silence_s = settings.log_silence_after
        tasks.create_task(watchman.watch(silence_s, look_s=min(1.0, silence_s / 4)))


def _pace(settings: Settings) -> Pace:
    return Pace(
        limits=Limits(
            growth_recent_s=settings.queue_growth_recent,
            growth_before_s=settings.queue_growth_before,
            calm_scale=settings.alert_calm_scale,
        ),
        tick_s=settings.alert_tick,
        retries_s=tuple(wait_s * settings.webhook_retry_scale for wait_s in RETRIES_S),
        per_webhook=settings.webhook_parallel,
        remind_s=settings.alertmanager_resend,
    )


def start() -> int:
    """Run the alerter in this process."""
    return run(NAME, main)
