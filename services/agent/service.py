"""The agent of a GPU node: wiring only."""

from __future__ import annotations

import asyncio
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
from services.chassis.supervision import one_failure


async def main(context: Context) -> None:
    """Take up the workers of the last run, then serve until told to stop; workers live on."""
    settings = Settings()
    outside = _outside(settings, context)
    store = Store(settings.agent_state)
    store.acquire()
    try:
        agent = _agent(settings, context, outside(store))
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
    with one_failure():
        async with asyncio.TaskGroup() as group:
            keeping = group.create_task(agent.run())
            await serve(app, settings.agent_host, settings.agent_port, context.stop, tls=tls)
            keeping.cancel()


