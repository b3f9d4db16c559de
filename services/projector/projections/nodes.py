"""Nodes: what they are, what they have, and whether they answer."""

from contracts.envelope import Recorded
from contracts.events.node import (
    NodeCameOnline,
    NodeDeleted,
    NodeInventoryChanged,
    NodeRegistered,
    NodeUpdated,
    NodeWentOffline,
)
from services.projector.state import Projection, Row, by, gone, moment

_UNSEEN: Row = {
    "status": "offline",
    "status_since": None,
    "last_seen_at": None,
    "last_error": None,
    "boot_id": None,
    "agent_version": "",
    "supported_models": [],
    "gpus": [],
}


def _put(row: Row | None, event: Recorded) -> Row:
    data, at = event.data, moment(event.recorded_at)
    return {
        **(row or {**_UNSEEN, "created_at": at}),
        "node_id": data["node_id"],
        "environment_id": data["environment_id"],
        "name": data["name"],
        "agent_url": data["agent_url"],
        "available_gpu_ids": list(data.get("available_gpu_ids", ())),
        "capabilities": data.get("capabilities", {}),
        "updated_at": at,
        "version": event.version,
    }


def _inventory_changed(row: Row | None, event: Recorded) -> Row | None:
    if row is None:
        return None
    data = event.data
    return {
        **row,
        "boot_id": data["boot_id"],
        "gpus": [
            {
                "uuid": gpu["uuid"],
                "index": gpu["index"],
                "name": gpu.get("name", ""),
                "memory_mb": gpu.get("memory_mb", 0),
            }
            for gpu in data["gpus"]
        ],
        "supported_models": list(data["supported_models"]),
        "agent_version": data.get("agent_version", ""),
    }


def _went_offline(row: Row | None, event: Recorded) -> Row | None:
    if row is None:
        return None
    data = event.data
    return {
        **row,
        "status": "offline",
        "status_since": moment(event.recorded_at),
        "last_seen_at": data.get("last_seen_at") or row["last_seen_at"],
        "last_error": data["error"],
    }


def _came_online(row: Row | None, event: Recorded) -> Row | None:
    if row is None:
        return None
    at = moment(event.recorded_at)
    online = {"status": "online", "status_since": at, "last_seen_at": at, "last_error": None}
    return {**row, **online, "boot_id": event.data["boot_id"]}


NODES = Projection(
    name="nodes",
    spread=by("node_id"),
    on={
        NodeRegistered: _put,
        NodeUpdated: _put,
        NodeDeleted: gone,
        NodeInventoryChanged: _inventory_changed,
        NodeWentOffline: _went_offline,
        NodeCameOnline: _came_online,
    },
)
