"""Wiring of the gateway."""

from __future__ import annotations

import hashlib
from importlib import metadata
from typing import TYPE_CHECKING

from contracts.types import Launch
from services.chassis import bus
from services.chassis.clock import LogClock
from services.chassis.database import connect_pool
from services.chassis.errors import QuartermasterError
from services.chassis.folding import Folding
from services.chassis.follower import Follower
from services.chassis.http import serve
from services.chassis.keeping import Keeper
from services.chassis.proposer import Proposer
from services.chassis.run import run
from services.chassis.supervision import Together
from services.chassis.targets import AllowList
from services.gateway.adapters.journal import JournalOverBus
from services.gateway.adapters.keys import KeysTable
from services.gateway.adapters.query import QueryService
from services.gateway.adapters.scheduler import SchedulerOverBus
from services.gateway.adapters.vault import VaultOverBus
from services.gateway.handlers.commands import Commands
from services.gateway.routes import application
from services.gateway.routes.access import StaticToken
from services.gateway.routes.answers import Envelopes
from services.gateway.routes.doors import About, Doors
from services.gateway.routes.targets import Targets
from services.gateway.settings import Settings
from services.gateway.state import State

if TYPE_CHECKING:
    from fastapi import FastAPI

    from services.chassis.ports import Bus
    from services.chassis.run import Context
    from services.gateway.handlers.ports import Keys
    from services.gateway.routes.doors import Reads

NAME = "gateway"
PATIENCE_S = 8.0
SWEEP_S = 3600.0


async def main(context: Context) -> None:
    """Fold the log and serve people until told to stop."""
    settings = Settings()
    context.health.report("log", ok=False, detail="it is being read")
    broker = await bus.connect(NAME, settings.amqp_url)
    database = await connect_pool(settings.database_url, service=NAME, max_size=8)
    query = QueryService(settings.query_url)
    keys = KeysTable(database)
    state = State()
    folding = _folding(context, broker, settings, state)
    app = wire(context, settings, broker, folding, state, keys, query)
    try:
        async with Together() as tasks:
            following = tasks.create_task(folding.run())
            sweeping = tasks.create_task(_sweep(context, keys, settings.idempotency_hours))
            reading = tasks.create_task(_report_once_read(context, folding))
            await serve(app, settings.http_host, settings.http_port, context.stop)
            for task in (following, sweeping, reading):
                task.cancel()
    finally:
        await query.close()
        await broker.close()
        await database.close()


def wire(
    context: Context,
    settings: Settings,
    broker: Bus,
    folding: Folding,
    state: State,
    keys: Keys,
    reads: Reads,
) -> FastAPI:
    """Return the application over its parts."""
    proposer = Proposer(broker, NAME, context.clock, patience_s=PATIENCE_S)
    commands = Commands(state, folding, proposer, keys, VaultOverBus(broker), context.clock)
    doors = Doors(
        commands=commands,
        reads=reads,
        journal=JournalOverBus(broker),
        scheduler=SchedulerOverBus(broker),
        envelopes=Envelopes(settings.api_v1_str, context.clock.now),
        targets=Targets(AllowList(settings.agent_networks), AllowList(settings.broker_networks)),
        health=context.health,
        about=About(settings.project_name, metadata.version("quartermaster"), settings.api_v1_str),
        launch=lambda name: Launch(
            template=settings.default_template, parameters={"model_path": name}
        ),
        fingerprint_key=_fingerprint_key(settings),
    )
    return application(doors, StaticToken(settings.api_token), settings.cors_origins)


def start() -> int:
    """Run the gateway in this process."""
    return run(NAME, main)


def _folding(context: Context, broker: Bus, settings: Settings, state: State) -> Folding:
    return Folding(
        Follower(broker, NAME, State.TYPES, context.clock),
        state.apply,
        LogClock(context.clock),
        on_stopped=lambda detail: context.health.report("fold", not detail, detail),
        service=NAME,
        keeper=Keeper(broker, NAME, state, context.clock, pace=settings.snapshot_pace()),
    )


def _fingerprint_key(settings: Settings) -> bytes:
    """Return a key, so that nobody can guess passwords from the fingerprints of requests."""
    token = settings.api_token.get_secret_value()
    return hashlib.sha256(b"quartermaster fingerprints " + token.encode()).digest()


async def _report_once_read(context: Context, folding: Folding) -> None:
    await folding.caught_up()
    context.health.report("log", ok=True)


async def _sweep(context: Context, keys: KeysTable, hours: int) -> None:
    """Forget old keys every hour; a database that does not answer is asked again later."""
    while True:
        try:
            await keys.sweep(hours)
        except QuartermasterError as error:
            context.log.warning("old keys stay for now", because=error.detail)
        await context.clock.sleep(SWEEP_S)
