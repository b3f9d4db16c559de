"""/scheduling-strategies: stored, configured, activated, deactivated, deleted, all live."""

from fastapi import APIRouter, Request, Response

from contracts.http.strategies import NewStrategy, StrategyChanges
from contracts.types import StrategyId
from services.chassis.repeating import Repeated
from services.gateway.decide.strategies import (
    ConfigureStrategy,
    CreateStrategy,
    DeleteStrategy,
    SwitchStrategy,
)
from services.gateway.routes import shapes
from services.gateway.routes.access import ADMIN, OPERATE, READ
from services.gateway.routes.doors import AskedHere, DoorsHere
from services.gateway.routes.reading import forward_shaped

router = APIRouter(
    prefix="/scheduling-strategies", tags=["scheduling strategies"], route_class=Repeated
)


@router.get("", dependencies=[READ])
async def strategies(request: Request, doors: DoorsHere) -> Response:
    """Return strategies, page by page."""
    return await forward_shaped(request, doors, "/strategies", shapes.strategy)


@router.post("", dependencies=[ADMIN], status_code=201)
async def create(new: NewStrategy, asked: AskedHere, doors: DoorsHere) -> Response:
    """Store a strategy whose parameters its policy knows."""
    return await doors.carry_out(CreateStrategy(new), asked)


@router.get("/{strategy_id}", dependencies=[READ])
async def strategy(strategy_id: StrategyId, request: Request, doors: DoorsHere) -> Response:
    """Return one strategy."""
    return await forward_shaped(request, doors, f"/strategies/{strategy_id}", shapes.strategy)


@router.put("/{strategy_id}", dependencies=[ADMIN])
@router.patch("/{strategy_id}", dependencies=[ADMIN])
async def configure(
    strategy_id: StrategyId, changes: StrategyChanges, asked: AskedHere, doors: DoorsHere
) -> Response:
    """Change parameters, order or description; the scheduler uses them at once."""
    return await doors.carry_out(ConfigureStrategy(strategy_id, changes), asked)


@router.post("/{strategy_id}/activate", dependencies=[OPERATE])
async def activate(strategy_id: StrategyId, asked: AskedHere, doors: DoorsHere) -> Response:
    """Let a strategy decide."""
    return await doors.carry_out(SwitchStrategy(strategy_id, active=True), asked)


@router.post("/{strategy_id}/deactivate", dependencies=[OPERATE])
async def deactivate(strategy_id: StrategyId, asked: AskedHere, doors: DoorsHere) -> Response:
    """Let a strategy decide no longer."""
    return await doors.carry_out(SwitchStrategy(strategy_id, active=False), asked)


@router.delete("/{strategy_id}", dependencies=[ADMIN])
async def delete(strategy_id: StrategyId, asked: AskedHere, doors: DoorsHere) -> Response:
    """Delete a strategy."""
    return await doors.carry_out(DeleteStrategy(strategy_id), asked)
