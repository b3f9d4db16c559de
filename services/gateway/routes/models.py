"""/models: registered with their queue, read without its password, changed, deleted."""

from fastapi import APIRouter, Request, Response
from pydantic import SecretStr

from contracts.http.models import ModelChanges, NewModel
from contracts.types import Launch, ModelId
from services.chassis.repeating import Repeated
from services.gateway.decide.models import ChangeModel, DeleteModel, RegisterModel
from services.gateway.routes import shapes
from services.gateway.routes.access import ADMIN, READ
from services.gateway.routes.doors import AskedHere, DoorsHere
from services.gateway.routes.reading import forward_shaped

router = APIRouter(prefix="/models", tags=["models"], route_class=Repeated)


@router.get("", dependencies=[READ])
async def models(request: Request, doors: DoorsHere) -> Response:
    """Return models, page by page; `environment_id` narrows them down."""
    return await forward_shaped(request, doors, "/models", shapes.model)


@router.post("", dependencies=[ADMIN], status_code=201)
async def register(new: NewModel, asked: AskedHere, doors: DoorsHere) -> Response:
    """Register a model; its name is unique in its environment."""
    doors.targets.check_broker(new.rabbitmq_host)
    launch = doors.launch(new.name)
    if new.launch is not None:
        launch = Launch.model_validate(new.launch.model_dump())
    command = RegisterModel(new, launch)
    return await doors.carry_out(command, asked, _revealed(new.rabbitmq_password))


@router.get("/{model_id}", dependencies=[READ])
async def model(model_id: ModelId, request: Request, doors: DoorsHere) -> Response:
    """Return one model."""
    return await forward_shaped(request, doors, f"/models/{model_id}", shapes.model)


@router.put("/{model_id}", dependencies=[ADMIN])
@router.patch("/{model_id}", dependencies=[ADMIN])
async def change(
    model_id: ModelId, changes: ModelChanges, asked: AskedHere, doors: DoorsHere
) -> Response:
    """Change what was sent; a password is replaced, never shown."""
    doors.targets.check_broker(changes.rabbitmq_host)
    command = ChangeModel(model_id, changes)
    return await doors.carry_out(command, asked, _revealed(changes.rabbitmq_password))


@router.delete("/{model_id}", dependencies=[ADMIN])
async def delete(model_id: ModelId, asked: AskedHere, doors: DoorsHere) -> Response:
    """Delete a model; its instances are stopped."""
    return await doors.carry_out(DeleteModel(model_id), asked)


def _revealed(password: SecretStr | None) -> str | None:
    return (password.get_secret_value() or None) if password is not None else None
