"""ROUTES: one file per resource, one line each here."""

from collections.abc import Sequence
from typing import Any

from fastapi import FastAPI
from starlette.middleware.cors import CORSMiddleware

from contracts.http.gateway import Envelope, ErrorEnvelope
from services.chassis.http import install_problems
from services.gateway.routes import (
    environments,
    explain,
    fleet,
    history,
    information,
    log,
    models,
    nodes,
    queues,
    rebuilds,
    strategies,
    webhooks,
)
from services.gateway.routes.access import Authentication, Authenticator, check_declared
from services.gateway.routes.doors import Doors

RESOURCES = (
    environments,
    models,
    nodes,
    queues,
    fleet,
    history,
    explain,
    strategies,
    webhooks,
    log,
    rebuilds,
)
SHOWN: dict[int | str, dict[str, Any]] = {
    200: {"model": Envelope},
    "4XX": {"model": ErrorEnvelope},
    "5XX": {"model": ErrorEnvelope},
}
SENT = ["Authorization", "X-API-Key", "Content-Type", "Idempotency-Key", "If-Position"]
READABLE = ["ETag", "Idempotency-Replayed", "Retry-After"]


def application(doors: Doors, authenticator: Authenticator, origins: Sequence[str]) -> FastAPI:
    """Return the HTTP application; raises Bug when a route declares no permission."""
    app = FastAPI(title=doors.about.name, version=doors.about.version, redoc_url=None)
    app.state.doors = doors
    prefix, refuse = doors.about.api, doors.envelopes.refuse
    routers = [resource.router for resource in RESOURCES]
    check_declared([*routers, information.router])
    for router in routers:
        app.include_router(router, prefix=prefix, responses=SHOWN)
    app.include_router(information.router)
    install_problems(app, render=refuse)
    app.add_middleware(Authentication, authenticator, prefix, refuse)
    app.add_middleware(
        CORSMiddleware,
        allow_origins=list(origins),
        allow_methods=["GET", "POST", "PUT", "PATCH", "DELETE"],
        allow_headers=SENT,
        expose_headers=READABLE,
    )
    return app
