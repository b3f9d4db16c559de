"""The agent of a GPU node: wiring only."""

from __future__ import annotations

import os
import sys
from importlib.metadata import PackageNotFoundError, version

from services.agent.adapters.boot import boot_id
from services.agent.adapters.folders import Folders
from services.agent.adapters.gpus import find_gpus
from services.agent.adapters.logs import Logs
from services.agent.adapters.ports import free_port
from services.agent.adapters.privileges import renounce_privileges
from services.agent.adapters.probes import is_ready
from services.agent.adapters.processes import Mark, Processes
from services.agent.adapters.store import Store
from services.agent.adapters.templates import load_templates
from services.agent.decide.commands import Offer
from services.agent.handlers.agent import Agent
from services.agent.handlers.outside import Outside, Terms
from services.agent.routes.app import create_app
from services.agent.settings import Settings
from services.agent.state import State
from services.chassis.http import Tls, serve
from services.chassis.run import Context, run
from services.chassis.supervision import Together


async def main(context: Context) -> None:
    """Take up the workers of the last run, then serve until told to stop; workers live on."""
    settings = Settings()
    store = Store(settings.agent_state)
    store.acquire()
    try:
        agent = _agent(settings, context, _outside(settings, context, store))
        await agent.wake()
        try:
            await _serve(settings, context, agent)
        finally:
            await agent.close()
    finally:
        store.release()


async def _serve(settings: Settings, context: Context, agent: Agent) -> None:
    app = create_app(agent, settings.agent_token.get_secret_value())
    tls = _tls(settings)
    context.log.info("agent listens", host=settings.agent_host, port=settings.agent_port)
    async with Together() as group:
        keeping = group.create_task(agent.run())
        await serve(app, settings.agent_host, settings.agent_port, context.stop, tls=tls)
        keeping.cancel()


def _agent(settings: Settings, context: Context, outside: Outside) -> Agent:
    more = () if settings.agent_templates is None else (settings.agent_templates,)
    offer = Offer(load_templates(*more), frozenset(settings.supported_models))
    state = State(settings.node_id, settings.boot_id or boot_id())
    return Agent(state, offer, outside, _terms(settings), context.health, context.log)


def _outside(settings: Settings, context: Context, store: Store) -> Outside:
    gpus = find_gpus(settings.node_id, settings.virtual_gpus)
    renounce_privileges()  # after the driver was opened: it may need a setuid helper for that
    folders = Folders(settings.agent_state)
    return Outside(
        gpus=gpus,
        processes=Processes(Mark(settings.node_id, folders.root), context.clock),
        store=store,
        folders=folders,
        logs=Logs(folders.log, settings.log_max_bytes),
        is_ready=is_ready,
        free_port=free_port,
        clock=context.clock,
    )


def _terms(settings: Settings) -> Terms:
    return Terms(
        worker_host=settings.worker_host,
        advertise_host=settings.advertise_host or settings.worker_host,
        environment={name: os.environ[name] for name in settings.inherited() if name in os.environ},
        contact_lease_s=settings.contact_lease_s,
        python=sys.executable,
        version=_version(),
    )


def _tls(settings: Settings) -> Tls | None:
    if settings.agent_tls_cert is None:
        return None
    ca = None if settings.agent_tls_ca is None else str(settings.agent_tls_ca)
    return Tls(str(settings.agent_tls_cert), str(settings.agent_tls_key), ca)


def _version() -> str:
    try:
        return version("quartermaster")
    except PackageNotFoundError:
        return ""


def start() -> int:
    """Run the agent; return its exit code."""
    return run("agent", main)
