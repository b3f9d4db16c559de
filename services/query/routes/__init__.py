"""ROUTES: one file per resource, one line each here."""

from fastapi import APIRouter, FastAPI

from services.chassis.http import install_problems
from services.query.routes import (
    alerts,
    decisions,
    environments,
    gpus,
    instances,
    log,
    models,
    names,
    nodes,
    queues,
    rebuilds,
    strategies,
)
from services.query.routes.reading import Reader

RESOURCES = (
    environments,
    models,
    nodes,
    gpus,
    instances,
    queues,
    strategies,
    alerts,
    decisions,
    names,
    log,
    rebuilds,
)


def application(reader: Reader, *more: APIRouter) -> FastAPI:
    """Return the HTTP application over a reader; `more` is read in other ways."""
    app = FastAPI(title="Quartermaster query", redoc_url=None)
    install_problems(app)
    for resource in RESOURCES:
        app.include_router(resource.routes(reader))
    for router in more:
        app.include_router(router)
    return app
