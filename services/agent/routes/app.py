"""The agent's door: every route, behind the token and the look at bodies."""

from __future__ import annotations

from fastapi import FastAPI

from services.agent.routes import commands, questions
from services.agent.routes.door import Door, with_own_code
from services.agent.routes.port import Agent
from services.chassis.http import install_problems


def create_app(agent: Agent, token: str) -> FastAPI:
    """Return the application; `token` is what every request but /health must bear."""
    app = FastAPI(title="Quartermaster agent", docs_url=None, redoc_url=None, openapi_url=None)
    app.state.agent = agent
    install_problems(app, render=with_own_code)
    app.add_middleware(Door, token=token, touch=agent.touch)  # the last added is the first met
    app.include_router(questions.router)
    app.include_router(commands.router)
    return app
