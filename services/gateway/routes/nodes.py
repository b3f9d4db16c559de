"""/nodes: registered, read, changed, deleted; models started and stopped on them by hand."""

from typing import Annotated

from fastapi import APIRouter, Path, Request, Response

from contracts.http.models import StartModel, StopModel
from contracts.http.nodes import KillProcess, NewNode, NodeChanges
from contracts.types import NodeId
from services.chassis.repeating import Repeated
from services.gateway.decide.instances import StartOnNode, StopOnNode
from services.gateway.decide.nodes import ChangeNode, DeleteNode, KillProcessOnNode, RegisterNode
from services.gateway.routes import shapes
from services.gateway.routes.access import ADMIN, HEARTBEAT, OPERATE, READ
from services.gateway.routes.doors import AskedHere, DoorsHere
from services.gateway.routes.reading import forward_shaped

router = APIRouter(prefix="/nodes", tags=["nodes"], route_class=Repeated)

Pid = Annotated[int, Path(ge=1, le=2**31 - 1)]


@router.get("", dependencies=[READ])
async def nodes(request: Request, doors: DoorsHere) -> Response:
    """Return nodes, page by page; `environment_id` narrows them down."""
    return await forward_shaped(request, doors, "/nodes", shapes.node)


@router.post("", dependencies=[ADMIN], status_code=201)
async def register(new: NewNode, asked: AskedHere, doors: DoorsHere) -> Response:
    """Register a node by its agent's address."""
    doors.targets.check_agent(new.agent_url)
    return await doors.carry_out(RegisterNode(new), asked)


@router.get("/{node_id}", dependencies=[READ])
async def node(node_id: NodeId, request: Request, doors: DoorsHere) -> Response:
    """Return one node with its GPUs."""
    return await forward_shaped(request, doors, f"/nodes/{node_id}", shapes.node)


@router.put("/{node_id}", dependencies=[ADMIN])
@router.patch("/{node_id}", dependencies=[ADMIN])
async def change(
    node_id: NodeId, changes: NodeChanges, asked: AskedHere, doors: DoorsHere
) -> Response:
    """Change what was sent."""
    doors.targets.check_agent(changes.agent_url)
    return await doors.carry_out(ChangeNode(node_id, changes), asked)


@router.delete("/{node_id}", dependencies=[ADMIN])
async def delete(
    node_id: NodeId, asked: AskedHere, doors: DoorsHere, *, force: bool = False
) -> Response:
    """Delete a node on which nothing runs; `force` deletes it although something does."""
    return await doors.carry_out(DeleteNode(node_id, force), asked)


@router.post("/{node_id}/heartbeat", dependencies=[HEARTBEAT])
async def heartbeat(node_id: NodeId, doors: DoorsHere) -> Response:
    """Take a node's own call; whatever it sends with it is not looked at."""
    await doors.commands.heartbeat(node_id)
    return doors.envelopes.around({"node_id": node_id})


@router.get("/{node_id}/status", dependencies=[READ])
async def status(node_id: NodeId, request: Request, doors: DoorsHere) -> Response:
    """Return a node as it was last seen: online or not, its GPUs, what runs on it."""
    return await forward_shaped(request, doors, f"/nodes/{node_id}", shapes.node)


@router.get("/{node_id}/models", dependencies=[READ])
async def models(node_id: NodeId, request: Request, doors: DoorsHere) -> Response:
    """Return what a node can serve and what it serves."""
    return await forward_shaped(request, doors, f"/nodes/{node_id}", shapes.node_models)


@router.get("/{node_id}/gpus", dependencies=[READ])
async def gpus(node_id: NodeId, request: Request, doors: DoorsHere) -> Response:
    """Return a node's GPUs."""
    return await forward_shaped(request, doors, f"/nodes/{node_id}", shapes.node_gpus)


@router.post("/{node_id}/models/start", dependencies=[OPERATE], status_code=202)
async def start(node_id: NodeId, what: StartModel, asked: AskedHere, doors: DoorsHere) -> Response:
    """Ask for a model on this node; the scheduler places and pins it."""
    return await doors.carry_out(StartOnNode(node_id, what), asked)


@router.post("/{node_id}/models/stop", dependencies=[OPERATE], status_code=202)
async def stop(node_id: NodeId, what: StopModel, asked: AskedHere, doors: DoorsHere) -> Response:
    """Ask for an instance on this node to end."""
    return await doors.carry_out(StopOnNode(node_id, what), asked)


@router.post("/{node_id}/processes/{pid}/kill", dependencies=[OPERATE], status_code=202)
async def kill(node_id: NodeId, pid: Pid, asked: AskedHere, doors: DoorsHere) -> Response:
    """Ask for a process on this node to be killed."""
    return await doors.carry_out(KillProcessOnNode(node_id, pid), asked)


@router.post("/{node_id}/kill-process", dependencies=[OPERATE], status_code=202)
async def kill_process(
    node_id: NodeId, what: KillProcess, asked: AskedHere, doors: DoorsHere
) -> Response:
    """Ask for a process on this node to be killed, as the first platform had it."""
    return await doors.carry_out(KillProcessOnNode(node_id, what.pid), asked)
