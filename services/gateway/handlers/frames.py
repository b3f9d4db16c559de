"""One recorded event on its way out as a Server-Sent Event, written once for all who read it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import orjson

from services.gateway.decide.following import Frame

if TYPE_CHECKING:
    from contracts.envelope import Recorded

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
    meta = event.meta
    told = {
        "position": event.position,
        "event_id": event.event_id,
        "stream": event.stream,
        "version": event.version,
        "type": event.type,
        "schema_version": event.schema_version,
        "data": event.data,
        "meta": {name: said for name in _META if (said := getattr(meta, name)) is not None},
        "recorded_at": event.recorded_at,
    }
    line = orjson.dumps(told, option=orjson.OPT_UTC_Z)
    sse = b"id: %d\nevent: %b\ndata: %b\n\n" % (event.position, event.type.encode(), line)
    node_id = event.data.get("node_id")
    return Frame(event.position, event.type, event.stream, node_id, sse)
