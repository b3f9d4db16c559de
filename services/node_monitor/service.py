"""Wiring of the node monitor."""

from __future__ import annotations

from typing import TYPE_CHECKING

from services.chassis import bus
from services.chassis.agents import Access, Agents
from services.chassis.clock import LogClock
from services.chassis.folding import Folding
from services.chassis.follower import Follower
from services.chassis.ids import new_id
from services.chassis.keeping import Keeper
from services.chassis.leadership import Leadership, lead
from services.chassis.proposer import Proposer
from services.chassis.run import run
from services.node_monitor.decide import Patience
from services.node_monitor.handlers import Desk, Monitor, Pace
from services.node_monitor.settings import Settings
from services.node_monitor.state import State

if TYPE_CHECKING:
    from services.chassis.ports import Bus
    from services.chassis.run import Context

NAME = "node_monitor"


async def main(context: Context) -> None:
    """Watch the nodes until told to stop."""
    settings = Settings()
    broker = await bus.connect(NAME, settings.amqp_url)
    try:
        await watch(context, broker, settings)
    finally:
        await broker.close()


async def watch(context: Context, broker: Bus, settings: Settings) -> None:
    """Fold for ever, and watch while leading."""
    state = State()
    folding = Folding(
        Follower(broker, NAME, State.TYPES, context.clock),
        state.apply,
        LogClock(context.clock),
        on_stopped=lambda detail: context.health.report("fold", not detail, detail),
        service=NAME,
        keeper=Keeper(broker, NAME, state, context.clock, pace=settings.snapshot_pace()),
    )
    proposer = Proposer(broker, NAME, context.clock)
    agents = Agents(_access(settings))
    desk = Desk(state, folding, proposer, agents, context.clock, _pace(settings))
    leadership = Leadership(broker, proposer, NAME, new_id(NAME), folding)
    await lead(leadership, folding, Monitor(desk).act)


def _access(settings: Settings) -> Access:
    token = settings.agent_token
    return Access(
        token=token.get_secret_value() if token else None,
        ca=settings.agent_ca,
        cert=settings.agent_cert,
        key=settings.agent_key,
        networks=settings.agent_networks,
        answer_s=settings.agent_answer_within,
    )


def _pace(settings: Settings) -> Pace:
    silent_after_s = settings.node_silent_after
    return Pace(
        refresh_s=settings.node_status_refresh_interval,
        probe_s=settings.node_probe_interval,
        poll_s=min(settings.node_status_refresh_interval, silent_after_s),
        tick_s=min(1.0, settings.node_probe_interval / 2),
        patience=Patience(silent_after_s=silent_after_s, window_s=settings.node_silence_window),
    )


def start() -> int:
    """Run the node monitor in this process."""
    return run(NAME, main)
