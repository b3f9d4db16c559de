"""Node reports: the newest thing each node's agent said; telemetry, so only the latest is kept."""

from contracts.envelope import Recorded
from contracts.events.node import NodeDeleted, NodeHeartbeat, NodeReported
from services.projector.state import Projection, Row, by, gone, moment

_SILENT: Row = {
    "boot_id": None,
    "gpus": {},
    "instances": [],
    "answer_ms": None,
    "reported_at": None,
}


def _reported(row: Row | None, event: Recorded) -> Row:
    data, at = event.data, moment(event.recorded_at)
    return {
        "node_id": data["node_id"],
        "boot_id": data["boot_id"],
        "gpus": {
            gpu["uuid"]: {
                "memory_used_mb": gpu.get("memory_used_mb", 0),
                "utilization_percent": gpu.get("utilization_percent", 0.0),
                "foreign_pids": list(gpu.get("foreign_pids", ())),
            }
            for gpu in data.get("gpus", ())
        },
        "instances": list(data.get("instances", ())),
        "answer_ms": data.get("answer_ms", 0.0),
        "reported_at": at,
        "heartbeat_at": row["heartbeat_at"] if row else None,
        "last_seen_at": at,
    }


def _heartbeat(row: Row | None, event: Recorded) -> Row:
    at = moment(event.recorded_at)
    node_id = event.data["node_id"]
    return {**(row or _SILENT), "node_id": node_id, "heartbeat_at": at, "last_seen_at": at}


NODE_REPORTS = Projection(
    name="node_reports",
    spread=by("node_id"),
    on={NodeReported: _reported, NodeHeartbeat: _heartbeat, NodeDeleted: gone},
    versioned=False,
    latest=True,
)
