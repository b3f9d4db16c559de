"""What else there is to see: deployments, GPUs, instances, alerts, decisions."""

from fastapi import APIRouter, Request, Response

from contracts.types import GpuUuid, InstanceId
from services.chassis.repeating import Repeated
from services.gateway.routes.access import READ
from services.gateway.routes.doors import DoorsHere
from services.gateway.routes.reading import forward

router = APIRouter(tags=["fleet"], route_class=Repeated)


@router.get("/deployments/status", dependencies=[READ])
async def deployments(request: Request, doors: DoorsHere) -> Response:
    """Return every node, its GPUs, and what runs on them."""
    return await forward(request, doors, "/deployments/status")


@router.get("/gpus", dependencies=[READ])
async def gpus(request: Request, doors: DoorsHere) -> Response:
    """Return GPUs, page by page."""
    return await forward(request, doors, "/gpus")


@router.get("/gpus/{uuid}", dependencies=[READ])
async def gpu(uuid: GpuUuid, request: Request, doors: DoorsHere) -> Response:
    """Return one GPU."""
    return await forward(request, doors, f"/gpus/{uuid}")


@router.get("/instances", dependencies=[READ])
async def instances(request: Request, doors: DoorsHere) -> Response:
    """Return instances, page by page."""
    return await forward(request, doors, "/instances")


@router.get("/instances/{instance_id}", dependencies=[READ])
async def instance(instance_id: InstanceId, request: Request, doors: DoorsHere) -> Response:
    """Return one instance."""
    return await forward(request, doors, f"/instances/{instance_id}")


@router.get("/asks/{ask_id}", dependencies=[READ])
async def ask(ask_id: InstanceId, request: Request, doors: DoorsHere) -> Response:
    """Return what came of a start that was asked for by hand."""
    return await forward(request, doors, f"/asks/{ask_id}")


@router.get("/alerts", dependencies=[READ])
async def alerts(request: Request, doors: DoorsHere) -> Response:
    """Return alerts, page by page; `open=true` those that are not over."""
    return await forward(request, doors, "/alerts")


@router.get("/decisions", dependencies=[READ])
async def decisions(request: Request, doors: DoorsHere) -> Response:
    """Return decisions and their reasons, page by page."""
    return await forward(request, doors, "/decisions")


@router.get("/status", dependencies=[READ])
async def status(request: Request, doors: DoorsHere) -> Response:
    """Return where the log is, and how far the read models are behind it."""
    return await forward(request, doors, "/status")
