"""GPUs: where each is and who holds it.

Whether it can be used also depends on its node (status, inventory, permitted indices); a reader
joins the node's row, so that no event has to touch every GPU of a node.
"""

from collections.abc import Iterable
from dataclasses import replace

from contracts.envelope import Recorded
from contracts.events.gpu import GpuAllocated, GpuFreed, GpuQuarantined, GpuReleased
from contracts.events.node import NodeInventoryChanged
from services.projector.state import Projection, Row, moment

_UNSEEN: Row = {
    "index": None,
    "name": "",
    "memory_mb": 0,
    "instance_id": None,
    "model_id": None,
    "quarantine": None,
}


def _spread(event: Recorded) -> Iterable[tuple[str, Recorded]]:
    data = event.data
    if event.type != NodeInventoryChanged.type:
        return ((data["gpu_uuid"], event),)
    node_id = data["node_id"]
    return [
        (gpu["uuid"], replace(event, data={**gpu, "gpu_uuid": gpu["uuid"], "node_id": node_id}))
        for gpu in data["gpus"]
    ]


def _known(row: Row | None, event: Recorded) -> Row:
    data = event.data
    return {**(row or _UNSEEN), "uuid": data["gpu_uuid"], "node_id": data["node_id"]}


def _seen(row: Row | None, event: Recorded) -> Row | None:
    data = event.data
    seen = {
        **_known(row, event),
        "index": data["index"],
        "name": data.get("name", ""),
        "memory_mb": data.get("memory_mb", 0),
    }
    return row if seen == row else seen


def _allocated(row: Row | None, event: Recorded) -> Row:
    data = event.data
    holder = {"instance_id": data["instance_id"], "model_id": data["model_id"]}
    return {**_known(row, event), **holder, "version": event.version}


def _freed(row: Row | None, event: Recorded) -> Row:
    nobody = {"instance_id": None, "model_id": None}
    return {**_known(row, event), **nobody, "version": event.version}


def _quarantined(row: Row | None, event: Recorded) -> Row:
    data = event.data
    quarantine = {
        "because": data["because"],
        "instance_id": data.get("instance_id"),
        "since": moment(event.recorded_at),
    }
    return {**_known(row, event), "quarantine": quarantine, "version": event.version}


def _released(row: Row | None, event: Recorded) -> Row:
    return {**_known(row, event), "quarantine": None, "version": event.version}


GPUS = Projection(
    name="gpus",
    spread=_spread,
    on={
        NodeInventoryChanged: _seen,
        GpuAllocated: _allocated,
        GpuFreed: _freed,
        GpuQuarantined: _quarantined,
        GpuReleased: _released,
    },
)
