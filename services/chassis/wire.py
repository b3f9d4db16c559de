"""How proposals, answers, runs and history pages look as bytes."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

import orjson

from contracts.envelope import Lease, Meta, Proposal, Recorded
from services.chassis.errors import Refused

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from contracts.envelope import Proposed

EXCHANGE_PROPOSED = "qm.proposed"
EXCHANGE_RECORDED = "qm.recorded"
EXCHANGE_JOURNAL = "qm.journal"
EXCHANGE_ASKED = "qm.asked"
EXCHANGE_VAULT = "qm.vault"
QUEUE_PROPOSED = "journal.proposed"
QUEUE_JOURNAL = "journal.asked"
QUEUE_PARKED = "qm.parked"
BEACON = "beacon"


def _event(event: Proposed) -> dict[str, Any]:
    return {
        "event_id": event.event_id,
        "stream": event.stream,
        "type": event.type,
        "schema_version": event.schema_version,
        "data": event.data,
        "occurred_at": event.occurred_at,
        "actor": event.actor,
        "expected_version": event.expected_version,
        "causation_id": event.causation_id,
        "correlation_id": event.correlation_id,
        "trace": event.trace,
    }


def _lease(lease: Lease | None) -> dict[str, Any] | None:
    return None if lease is None else {"name": lease.name, "epoch": lease.epoch}


def encode_proposal(proposal: Proposal) -> bytes:
    """Return one proposal as JSON; raises Refused when its data cannot be written as JSON."""
    events = [_event(event) for event in proposal.events]
    try:
        return orjson.dumps({"events": events, "lease": _lease(proposal.lease)})
    except orjson.JSONEncodeError as error:
        raise Refused(f"data: {error}") from error


def encode_proposals(proposals: Iterable[bytes]) -> bytes:
    """Return one message of encoded proposals; each is judged by itself."""
    return b'{"proposals":[' + b",".join(proposals) + b"]}"


def recorded_bytes(row: Mapping[str, Any]) -> bytes:
    """Return one recorded event as JSON; `data` and `meta` are spliced in as they are stored.

    row: position, event_id (text), stream, version, type, schema_version, data, meta (bytes),
    recorded_at.
    """
    head = orjson.dumps(
        {
            "position": row["position"],
            "event_id": row["event_id"],
            "stream": row["stream"],
            "version": row["version"],
            "type": row["type"],
            "schema_version": row["schema_version"],
            "recorded_at": row["recorded_at"],
        }
    )
    return b"".join((head[:-1], b',"data":', row["data"], b',"meta":', row["meta"], b"}"))


def encode_run(events: Iterable[bytes]) -> bytes:
    """Return a run: recorded events as one JSON array."""
    return b"[" + b",".join(events) + b"]"


def decode_run(body: bytes, types: frozenset[str] | None = None) -> Iterator[Recorded]:
    """Yield the events of a run, only those of `types` when given."""
    for item in orjson.loads(body):
        if types is None or item["type"] in types:
            yield _recorded(item)


def _recorded(item: dict[str, Any]) -> Recorded:
    return Recorded(
        position=item["position"],
        event_id=item["event_id"],
        stream=item["stream"],
        version=item["version"],
        type=item["type"],
        schema_version=item["schema_version"],
        data=item["data"],
        recorded_at=datetime.fromisoformat(item["recorded_at"]),
        meta=Meta(*map(item["meta"].get, Meta.__slots__)),
    )


def lease_of(body: Mapping[str, Any] | None) -> Lease | None:
    """Return the lease in a proposal's body, or None."""
    return None if body is None else Lease(body["name"], body["epoch"])
