"""Wiring of the gateway."""

from __future__ import annotations

import hashlib
import sys
from datetime import timedelta
from importlib import metadata
from typing import TYPE_CHECKING

from contracts.types import Launch
from services.chassis import bus
from services.chassis.addresses import Proxies
from services.chassis.agents import Access, Agents
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
from services.gateway.adapters import door_keys
from services.gateway.adapters.attempts import AttemptsTable
from services.gateway.adapters.credentials import CredentialsTable, SessionsTable
from services.gateway.adapters.journal import JournalOverBus
from services.gateway.adapters.keys import KeysTable
from services.gateway.adapters.passwords import Argon2
from services.gateway.adapters.query import QueryService
from services.gateway.adapters.scheduler import SchedulerOverBus
from services.gateway.adapters.tokens import Tokens
from services.gateway.adapters.vault import VaultOverBus
from services.gateway.adapters.workers import WorkersOverAgents
from services.gateway.decide.entering import Rules
from services.gateway.decide.throttling import Limit
from services.gateway.handlers.accounts import Accounts
from services.gateway.handlers.board import Board
from services.gateway.handlers.commands import Commands
from services.gateway.handlers.entry import Entry, Judged
from services.gateway.handlers.entry_ports import Own
from services.gateway.handlers.places import Places
from services.gateway.handlers.streaming import Feed
from services.gateway.routes import application
from services.gateway.routes.access import Door, StaticToken
from services.gateway.routes.answers import Envelopes
from services.gateway.routes.doors import About, Doors
from services.gateway.routes.events import TYPES as EVERY_TYPE
from services.gateway.routes.limits import Paces
from services.gateway.routes.streams import Live, Streams
from services.gateway.routes.targets import Targets
from services.gateway.settings import Settings
from services.gateway.state import State

if TYPE_CHECKING:
    from fastapi import FastAPI
    from pydantic import SecretStr

    from services.chassis.database import Database
    from services.chassis.ports import Bus
    from services.chassis.run import Context
    from services.gateway.adapters.door_keys import DoorKeys
    from services.gateway.routes.doors import Reads

NAME = "gateway"
PATIENCE_S = 8.0
ACQUIRE_S = 5.0  # people wait
SWEEP_S = 3600.0
SETTLE_S = 20.0


async def main(context: Context) -> None:
    """Fold the log and serve people until told to stop."""
    settings = Settings()
    door = door_keys.load(settings.keys_dir, settings.api_token)
    context.health.report("log", ok=False, detail="it is being read")
    broker = await bus.connect(NAME, settings.amqp_url)
    database = await connect_pool(
        settings.database_url, service=NAME, max_size=8, acquire_s=ACQUIRE_S
    )
    query = QueryService(settings.query_url)
    own = keep(database, door, settings)
    state = State()
    folding = _folding(context, broker, settings, state)
    app = wire(context, settings, broker, folding, state, own, query)
    door_keys.announce(door, settings.http_host, settings.http_port, sys.stdout)
    try:
        async with Together() as tasks:
            live: Live = app.state.live
            live_works = (live.feed.run(), live.board.run(), _end_with(context, live))
            streaming = [tasks.create_task(work) for work in live_works]
            following = tasks.create_task(folding.run())
            sweeping = tasks.create_task(_sweep(context, database, settings.idempotency_hours))
            reading = tasks.create_task(_once_read(context, folding, database))
            await serve(app, settings.http_host, settings.http_port, context.stop, websockets=True)
            for task in (following, sweeping, reading, *streaming):
                task.cancel()
    finally:
        await query.close()
        await broker.close()
        await database.close()


def keep(database: Database, door: DoorKeys, settings: Settings) -> Own:
    """Return what the gateway keeps for itself, beside the log."""
    return Own(
        admin_token=door.admin_token,
        keys=KeysTable(database),
        credentials=CredentialsTable(database),
        sessions=SessionsTable(database),
        attempts=AttemptsTable(database, _derived("attempts", door.admin_token)),
        passwords=Argon2(),
        tokens=Tokens(door.signing, timedelta(minutes=settings.access_minutes)),
    )


def wire(
    context: Context,
    settings: Settings,
    broker: Bus,
    folding: Folding,
    state: State,
    own: Own,
    reads: Reads,
) -> FastAPI:
    """Return the application over its parts."""
    proposer = Proposer(broker, NAME, context.clock, patience_s=PATIENCE_S)
    places = Places(VaultOverBus(broker), own.credentials)
    commands = Commands(state, folding, proposer, own.keys, places, context.clock)
    judged = Judged(state, folding)
    doors = Doors(
        commands=commands,
        known=judged.at,
        accounts=Accounts(judged, commands, own, _rules(settings), context.clock),
        reads=reads,
        journal=JournalOverBus(broker),
        scheduler=SchedulerOverBus(broker),
        workers=WorkersOverAgents(Agents(_access(settings))),
        envelopes=Envelopes(settings.api_v1_str, context.clock.now),
        targets=_targets(settings),
        proxies=Proxies(AllowList(settings.trusted_proxies)),
        health=context.health,
        about=About(settings.project_name, metadata.version("quartermaster"), settings.api_v1_str),
        launch=lambda name: Launch(
            template=settings.default_template, parameters={"model_path": name}
        ),
        fingerprint_key=_derived("fingerprints", own.admin_token),
    )
    door = Door(StaticToken(own.admin_token), Entry(judged, own, context.clock))
    live = _live(context, broker, reads, settings)
    return application(doors, door, settings.cors_origins, live)


def _targets(settings: Settings) -> Targets:
    agents, brokers = AllowList(settings.agent_networks), AllowList(settings.broker_networks)
    return Targets(agents, brokers, settings.webhook_targets())


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


def _live(context: Context, broker: Bus, reads: Reads, settings: Settings) -> Live:
    limits = settings.limits()
    follower = Follower(broker, NAME, EVERY_TYPE, context.clock)
    feed = Feed(follower, context.clock, limits)
    board = Board(feed, reads, context.clock)
    return Live(feed, board, Streams(limits), Paces(limits, context.clock))


async def _end_with(context: Context, live: Live) -> None:
    """End open streams as soon as the process is told to stop: their readers go elsewhere."""
    await context.stop.wait()
    live.feed.end()


def _rules(settings: Settings) -> Rules:
    days = settings.refresh_days
    return Rules(
        is_open=settings.registration_open,
        refresh=timedelta(days=days) if days else None,
        per_place=Limit(settings.login_attempts_per_minute),
        per_name=Limit(settings.name_attempts_per_minute),
        per_address=Limit(settings.address_attempts_per_minute),
    )


def _access(settings: Settings) -> Access:
    token = settings.agent_token
    return Access(
        token=token.get_secret_value() if token else None,
        ca=settings.agent_ca,
        cert=settings.agent_cert,
        key=settings.agent_key,
        networks=settings.agent_networks,
    )


def _derived(purpose: str, token: SecretStr) -> bytes:
    """Return a key, so that nobody can guess passwords from the digests of what people sent."""
    return hashlib.sha256(f"quartermaster {purpose} {token.get_secret_value()}".encode()).digest()


async def _once_read(context: Context, folding: Folding, database: Database) -> None:
    await folding.caught_up()
    context.health.report("log", ok=True)
    await _take_back(context, folding, CredentialsTable(database))


async def _take_back(context: Context, folding: Folding, credentials: CredentialsTable) -> None:
    """Take back what a log that was restored does not know; until then nobody could be judged."""
    while True:
        await folding.caught_up()
        try:
            await credentials.rewind(folding.position)
            if await credentials.authority() <= folding.position:
                return
        except QuartermasterError as error:
            context.log.warning("the newest accounts are not known", because=error.detail)
        await context.clock.sleep(SETTLE_S)


async def _sweep(context: Context, database: Database, hours: int) -> None:
    """Forget what is over every hour; a database that does not answer is asked again later."""
    while True:
        try:
            await KeysTable(database).sweep(hours)
            await SessionsTable(database).sweep(context.clock.now())
        except QuartermasterError as error:
            context.log.warning("old keys stay for now", because=error.detail)
        await context.clock.sleep(SWEEP_S)
