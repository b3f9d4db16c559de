"""The bytes that the log's hash chain is made over, the same wherever they are made."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from services.journal.records import Entry

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = datetime.resolution


def digest(entry: Entry) -> bytes:
    """Return sha256 over every field that the proposer of an entry gave."""
    return _digest(
        entry.event_id,
        entry.stream.encode(),
        entry.type.encode(),
        entry.schema_version,
        entry.data.encode(),
        entry.meta.encode(),
    )


def _digest(
    event_id: str, stream: bytes, type_: bytes, schema_version: int, data: bytes, meta: bytes
) -> bytes:
    """Every text follows its length, so that no two contents give the same bytes."""
    return hashlib.sha256(
        b"%s:%d:%s:%d:%s:%d:%d:%s:%d:%s"
        % (
            event_id.encode(),
            len(stream),
            stream,
            len(type_),
            type_,
            schema_version,
            len(data),
            data,
            len(meta),
            meta,
        )
    ).digest()


def leaf(row: Any) -> bytes:
    """Return what a stored row adds to its chain: its place and its digest; log.place in SQL."""
    stream, type_, data, meta = (
        text if isinstance(text, bytes) else text.encode()
        for text in (row["stream"], row["type"], row["data"], row["meta"])
    )
    micros = (row["recorded_at"] - EPOCH) // _MICROSECOND
    place = b"".join(
        number.to_bytes(8, "big") for number in (row["position"], row["version"], micros)
    )
    return place + _digest(row["event_id"], stream, type_, row["schema_version"], data, meta)
