"""One recorded event on its way out as a Server-Sent Event, written once for all who read it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson

from services.gateway.decide.following import Frame

if TYPE_CHECKING:
    from collections.abc import Mapping

    from contracts.envelope import Recorded

# What people asked a model may stand in a worker's last lines: not for everybody who may look.
_LOG_TAIL = "log_tail"
_META = (
    "actor",
    "occurred_at",
    "proposer",
    "causation_id",
    "correlation_id",
    "trace",
    "lease",
    "epoch",
)


def frame(event: Recorded) -> Frame:
    """Return an event as it is sent: its id is its position, its data the event on one line."""
    data, with_logs = event.data, None
    if _LOG_TAIL in data:
        with_logs = _sse(event, data)
        data = {name: said for name, said in data.items() if name != _LOG_TAIL}
    sse = _sse(event, data)
    return Frame(event.position, event.type, event.stream, data.get("node_id"), sse, with_logs)


def _sse(event: Recorded, data: Mapping[str, Any]) -> bytes:
    meta = event.meta
    told = {
        "position": event.position,
        "event_id": event.event_id,
        "stream": event.stream,
        "version": event.version,
        "type": event.type,
        "schema_version": event.schema_version,
        "data": data,
        "meta": {name: said for name in _META if (said := getattr(meta, name)) is not None},
        "recorded_at": event.recorded_at,
    }
    line = orjson.dumps(told, option=orjson.OPT_UTC_Z)
    return b"id: %d\nevent: %b\ndata: %b\n\n" % (event.position, event.type.encode(), line)
