"""/environments: created, read, changed, deleted."""

from fastapi import APIRouter, Request, Response

from contracts.http.environments import EnvironmentChanges, NewEnvironment
from contracts.types import EnvironmentId
from services.chassis.repeating import Repeated
from services.gateway.decide.environments import (
    ChangeEnvironment,
    CreateEnvironment,
    DeleteEnvironment,
)
from services.gateway.routes import shapes
from services.gateway.routes.access import ADMIN, READ
from services.gateway.routes.doors import AskedHere, DoorsHere
from services.gateway.routes.reading import forward_shaped

router = APIRouter(prefix="/environments", tags=["environments"], route_class=Repeated)


@router.get("", dependencies=[READ])
async def environments(request: Request, doors: DoorsHere) -> Response:
    """Return environments, page by page."""
    return await forward_shaped(request, doors, "/environments", shapes.environment)


@router.post("", dependencies=[ADMIN], status_code=201)
async def create(new: NewEnvironment, asked: AskedHere, doors: DoorsHere) -> Response:
    """Create an environment; its name is unique."""
    return await doors.carry_out(CreateEnvironment(new), asked)


@router.get("/{environment_id}", dependencies=[READ])
async def environment(
    environment_id: EnvironmentId, request: Request, doors: DoorsHere
) -> Response:
    """Return one environment."""
    path = f"/environments/{environment_id}"
    return await forward_shaped(request, doors, path, shapes.environment)


@router.put("/{environment_id}", dependencies=[ADMIN])
@router.patch("/{environment_id}", dependencies=[ADMIN])
async def change(
    environment_id: EnvironmentId, changes: EnvironmentChanges, asked: AskedHere, doors: DoorsHere
) -> Response:
    """Change what was sent."""
    return await doors.carry_out(ChangeEnvironment(environment_id, changes), asked)


@router.delete("/{environment_id}", dependencies=[ADMIN])
async def delete(environment_id: EnvironmentId, asked: AskedHere, doors: DoorsHere) -> Response:
    """Delete an environment without models and nodes."""
    return await doors.carry_out(DeleteEnvironment(environment_id), asked)


@router.get("/{environment_id}/models", dependencies=[READ])
async def models(environment_id: EnvironmentId, request: Request, doors: DoorsHere) -> Response:
    """Return an environment's models, page by page."""
    return await forward_shaped(
        request, doors, "/models", shapes.model, environment_id=environment_id
    )


@router.get("/{environment_id}/nodes", dependencies=[READ])
async def nodes(environment_id: EnvironmentId, request: Request, doors: DoorsHere) -> Response:
    """Return an environment's nodes, page by page."""
    return await forward_shaped(
        request, doors, "/nodes", shapes.node, environment_id=environment_id
    )
