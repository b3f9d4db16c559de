"""ROUTES: one file per resource, one line each here."""

from fastapi import FastAPI

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
)


def application(reader: Reader) -> FastAPI:
    """Return the HTTP application over a reader."""
    app = FastAPI(title="Quartermaster query", redoc_url=None)
    install_problems(app)
    for resource in RESOURCES:
        app.include_router(resource.routes(reader))
    return app
