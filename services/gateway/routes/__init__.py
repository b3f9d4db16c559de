"""ROUTES: one file per resource, one line each here."""

from collections.abc import Sequence
from typing import Any

from fastapi import FastAPI
from starlette.middleware.cors import CORSMiddleware
from starlette.middleware.gzip import GZipMiddleware

from contracts.http.gateway import Envelope, ErrorEnvelope
from services.chassis.http import install_problems
from services.gateway.decide.pacing import Limits
from services.gateway.routes import (
    accounts,
    alerting,
    auth,
    environments,
    events,
    explain,
    fleet,
    history,
    information,
    keys,
    log,
    logs,
    models,
    nodes,
    parked,
    queues,
    rebuilds,
    strategies,
    webhooks,
    websocket,
)
from services.gateway.routes.access import Authentication, Authenticator, check_declared
from services.gateway.routes.description import describe
from services.gateway.routes.doors import Doors
from services.gateway.routes.limits import RateLimits
from services.gateway.routes.strangers import Strangers
from services.gateway.routes.streams import Live

RESOURCES = (
    environments,
    models,
    nodes,
    queues,
    fleet,
    logs,
    events,
    history,
    explain,
    strategies,
    webhooks,
    alerting,
    log,
    parked,
    rebuilds,
    accounts,
    keys,
)
SHOWN: dict[int | str, dict[str, Any]] = {
    200: {"model": Envelope},
    "4XX": {"model": ErrorEnvelope},
    "5XX": {"model": ErrorEnvelope},
}
SENT = [
    "Authorization",
    "X-API-Key",
    "Content-Type",
    "Idempotency-Key",
    "If-Position",
    "If-Match",
    "If-None-Match",
    "Last-Event-ID",
]
READABLE = ["ETag", "Idempotency-Replayed", "Retry-After"]
# A page of 50 nodes shrinks to a tenth; higher levels take twice the time for a twentieth less.
ZIPPED_FROM_BYTES, ZIP_LEVEL = 1024, 4


def application(
    doors: Doors, authenticator: Authenticator, origins: Sequence[str], live: Live | None = None
) -> FastAPI:
    """Return the HTTP application; raises Bug when a route declares no permission."""
    app = FastAPI(title=doors.about.name, version=doors.about.version, redoc_url=None)
    app.state.doors, app.state.live = doors, live
    app.state.authenticator, app.state.origins = authenticator, frozenset(origins)
    prefix, refuse = doors.about.api, doors.envelopes.refuse
    routers = [resource.router for resource in RESOURCES]
    plain = [information.router, auth.router, websocket.router]
    check_declared([*routers, *plain])
    for router in routers:
        app.include_router(router, prefix=prefix, responses=SHOWN)
    for router in plain:
        app.include_router(router)
    describe(app, prefix, routers, plain)
    limits = live.streams.limits if live else Limits()
    install_problems(
        app, render=refuse, more_types=auth.FORMS, max_body_bytes=limits.max_body_bytes
    )
    strangers = None
    if live is not None:
        app.add_middleware(RateLimits, live.paces, doors.proxies, refuse)
        strangers = Strangers(live.paces, doors.proxies)
    app.add_middleware(Authentication, authenticator, prefix, refuse, strangers)
    app.add_middleware(GZipMiddleware, minimum_size=ZIPPED_FROM_BYTES, compresslevel=ZIP_LEVEL)
    app.add_middleware(
        CORSMiddleware,
        allow_origins=list(origins),
        allow_methods=["GET", "POST", "PUT", "PATCH", "DELETE"],
        allow_headers=SENT,
        expose_headers=READABLE,
    )
    return app
