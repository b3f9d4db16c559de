"""Wiring of the deployer."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from services.chassis import bus
from services.chassis.agents import Access
from services.chassis.clock import LogClock
from services.chassis.folding import Folding
from services.chassis.follower import Follower
from services.chassis.ids import new_id
from services.chassis.keeping import Keeper
from services.chassis.leadership import Leadership, lead
from services.chassis.proposer import Proposer
from services.chassis.run import run
from services.chassis.secrets import reveal
from services.deployer.handlers import Deployer, Desk, Pace
from services.deployer.providers import PROVIDERS
from services.deployer.settings import Settings
from services.deployer.state import State

if TYPE_CHECKING:
    from services.chassis.ports import Bus
    from services.chassis.run import Context

NAME = "deployer"


async def main(context: Context) -> None:
    """Start and stop instances until told to stop."""
    settings = Settings()
    broker = await bus.connect(NAME, settings.amqp_url)
    try:
        await deploy(context, broker, settings)
    finally:
        await broker.close()


async def deploy(context: Context, broker: Bus, settings: Settings) -> None:
    """Fold for ever, and act while leading."""
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
    provider = PROVIDERS["node_agent"](
        _access(settings), plain_secrets=settings.agent_plain_secrets
    )
    ask_vault = partial(reveal, broker)
    desk = Desk(state, folding, proposer, provider, ask_vault, context.clock, _pace(settings))
    leadership = Leadership(broker, proposer, NAME, new_id(NAME), folding)
    try:
        await lead(leadership, folding, Deployer(desk).act)
    finally:
        await provider.close()


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
    return Pace(
        retry_s=settings.deploy_retry_interval,
        ready_within_s=settings.deploy_ready_within,
        kill_within_s=settings.deploy_kill_within,
        grace_s=settings.deploy_stop_grace,
        commands_per_node=settings.deploy_commands_per_node,
    )


def start() -> int:
    """Run the deployer in this process."""
    return run(NAME, main)
