"""ROUTES: one file per group of pages, one line each here."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastapi import FastAPI
from starlette.middleware.gzip import GZipMiddleware
from starlette.responses import HTMLResponse, Response

from services.chassis.http import install_problems
from services.console.routes import (
    acting,
    administering,
    entering,
    events,
    finding,
    live,
    pages,
    things,
)
from services.console.routes.renewing import Carrier
from services.console.routes.security import Guard
from services.console.routes.visiting import LoginNeededError, to_login

if TYPE_CHECKING:
    from starlette.requests import Request

    from services.chassis.problems import Problem, Render
    from services.console.routes.assets import Assets
    from services.console.routes.visiting import House

GROUPS = (pages, administering, things, events, live, acting, finding, entering)
FORMS = ("application/x-www-form-urlencoded",)
WORTH_PACKING_BYTES = 1000


def application(house: House, assets: Assets) -> FastAPI:
    """Return the console as an HTTP application."""
    app = FastAPI(title="Quartermaster console", docs_url=None, redoc_url=None, openapi_url=None)
    app.state.house = house
    app.include_router(assets.routes())
    for group in GROUPS:
        app.include_router(group.router)

    @app.get("/health")
    async def health() -> dict[str, str]:
        return {"status": "ok", "service": "console"}

    render = _problems(house)
    install_problems(app, render=render, media_types=FORMS)
    app.add_exception_handler(LoginNeededError, _login)
    app.add_middleware(GZipMiddleware, minimum_size=WORTH_PACKING_BYTES, compresslevel=5)
    app.add_middleware(Carrier)
    app.add_middleware(Guard, render)
    return app


async def _login(request: Request, error: Exception) -> Response:
    del error
    response = to_login(request)
    request.app.state.house.sessions.forget(response)
    return response


def _problems(house: House) -> Render:
    """Return what makes a page of a problem: what went wrong, and what to do next."""

    def render(path: str, problem: Problem) -> Response:
        text = house.pages.render("problem.html", path=path, problem=problem, title=problem.title)
        return HTMLResponse(text, problem.status, headers=dict(problem.headers))

    return render
