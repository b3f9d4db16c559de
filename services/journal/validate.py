"""Judge a proposal by the catalogue before the log sees it: bytes in, command or refusal out."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated, Any

import orjson
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from contracts.catalogue import TELEMETRY_STREAMS, UnknownType, entry_of
from contracts.envelope import MAX_DATA_BYTES, Lease
from services.chassis.errors import Refused
from services.journal.records import Command, Entry, Refusal

if TYPE_CHECKING:
    from datetime import datetime

    from contracts.catalogue import Entry as Kind

UUID7 = r"^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$"
STREAM = r"^[a-z][a-z_-]*/[^\x00-\x1f\x7f]+$"
MAX_EVENTS = 1000
MAX_AHEAD_MS = 3_600_000
NUL = re.compile(rb"(?<!\\)(?:\\\\)*\\u0000")  # not where the backslash itself is escaped

_ShortText = Annotated[str, StringConstraints(max_length=256, pattern=r"^[^\x00]*$")]


class _Event(BaseModel):
    model_config = ConfigDict(extra="ignore")
    event_id: Annotated[str, StringConstraints(pattern=UUID7)]
    stream: Annotated[str, StringConstraints(pattern=STREAM, max_length=300)]
    type: _ShortText
    schema_version: Annotated[int, Field(ge=1, le=32767)] = 1
    data: dict[str, Any]
    occurred_at: AwareDatetime
    actor: Annotated[_ShortText, StringConstraints(min_length=1)]
    expected_version: Annotated[int, Field(ge=0, le=2**53)] | None = None
    causation_id: _ShortText | None = None
    correlation_id: _ShortText | None = None
    trace: _ShortText | None = None


class _Lease(BaseModel):
    name: _ShortText
    epoch: Annotated[int, Field(ge=1, le=2**53)]


class _Proposal(BaseModel):
    events: Annotated[list[_Event], Field(min_length=1, max_length=MAX_EVENTS)]
    lease: _Lease | None = None


class Unreadable(Refused):
    """The message is not a list of proposals."""

    code = "unreadable"


def proposals_of(body: bytes) -> list[Any]:
    """Return the raw proposals of a message; raises Unreadable."""
    try:
        parsed = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise Unreadable(f"not JSON: {error}") from error
    proposals = parsed.get("proposals") if isinstance(parsed, dict) else None
    if not isinstance(proposals, list) or not proposals:
        raise Unreadable("proposals: a list with at least one proposal is required")
    return proposals


def judge(raw: Any, proposer: str | None, now: datetime) -> Command | Refusal:
    """Return the command a raw proposal asks for, or why it is refused.

    proposer: the sender as the broker checked it. now: for ids from the future.
    """
    if not proposer:
        return Refusal("unsigned", "user_id: a proposal without its sender is refused")
    try:
        proposal = _Proposal.model_validate(raw)
        _must_differ(proposal.events)
        entries = tuple(
            _entry(number, event, proposal, proposer, now)
            for number, event in enumerate(proposal.events)
        )
    except ValidationError as error:
        return _invalid("", error)
    except _Objection as objection:
        return objection.refusal
    lease = proposal.lease
    return Command(entries, None if lease is None else Lease(lease.name, lease.epoch))


class _Objection(Exception):
    def __init__(self, refusal: Refusal) -> None:
        self.refusal = refusal


def _must_differ(events: list[_Event]) -> None:
    seen: set[str] = set()
    for number, event in enumerate(events):
        if event.event_id in seen:
            detail = f"events.{number}.event_id: {event.event_id} comes twice in the proposal"
            raise _Objection(Refusal("invalid", detail))
        seen.add(event.event_id)


def _entry(number: int, event: _Event, proposal: _Proposal, proposer: str, now: datetime) -> Entry:
    where = f"events.{number}"
    try:
        kind = entry_of(event.type, event.schema_version)
        kind.event.model_validate(event.data)
    except UnknownType as error:
        raise _Objection(Refusal("unknown_type", f"{where}.type: {error}")) from error
    except ValidationError as error:
        raise _Objection(_invalid(f"{where}.data", error)) from error
    if complaint := (
        _not_allowed(kind, event, proposal, proposer)
        or _bad_id(event, now)
        or _bad_mix(kind, event)
    ):
        code, detail = complaint
        raise _Objection(Refusal(code, f"{where}.{detail}"))
    data = _data(where, event.data)
    return Entry(
        event.event_id,
        event.stream,
        event.type,
        event.schema_version,
        data.decode(),
        _meta(event, proposal.lease, proposer),
        kind.retention == "telemetry",
        event.expected_version,
    )


def _data(where: str, data: dict[str, Any]) -> bytes:
    try:
        stored = orjson.dumps(data)
    except orjson.JSONEncodeError as error:
        raise _Objection(Refusal("invalid", f"{where}.data: {error}")) from error
    if len(stored) > MAX_DATA_BYTES:
        detail = f"{where}.data: {len(stored)} bytes, at most {MAX_DATA_BYTES} are kept"
        raise _Objection(Refusal("invalid", detail))
    if b"u0000" in stored and NUL.search(stored):  # the expression costs 20 us, the look 0.1
        raise _Objection(Refusal("invalid", f"{where}.data: a text holds the character NUL"))
    return stored


def _not_allowed(
    kind: Kind, event: _Event, proposal: _Proposal, proposer: str
) -> tuple[str, str] | None:
    if proposer not in kind.by:
        return "not_allowed", f"type: {proposer} may not propose {event.type}"
    if kind.lease is not None and (proposal.lease is None or proposal.lease.name != kind.lease):
        return "not_allowed", f"type: {event.type} needs the lease of {kind.lease}"
    # A lease's version is its epoch: whatever else landed there would fence its leader.
    if (event.type == "lease.acquired" or event.stream.startswith("lease/")) and (
        event.type != "lease.acquired"
        or event.stream != f"lease/{proposer}"
        or event.expected_version is None
    ):
        return "not_allowed", f"stream: {proposer} acquires lease/{proposer} at an expected version"
    return None


def _bad_id(event: _Event, now: datetime) -> tuple[str, str] | None:
    made_ms = int(event.event_id[:8] + event.event_id[9:13], 16)
    if made_ms > now.timestamp() * 1000 + MAX_AHEAD_MS:
        return "invalid", "event_id: its time lies over an hour ahead"
    return None


def _bad_mix(kind: Kind, event: _Event) -> tuple[str, str] | None:
    is_telemetry = kind.retention == "telemetry"
    if is_telemetry and event.expected_version is not None:
        return "invalid", "expected_version: telemetry has none"
    if is_telemetry != (event.stream.partition("/")[0] in TELEMETRY_STREAMS):
        return "invalid", f"stream: {event.stream} is not for {kind.retention} events"
    return None


def _invalid(where: str, error: ValidationError) -> Refusal:
    first = error.errors(include_url=False, include_input=False, include_context=False)[0]
    field = ".".join(str(part) for part in ([where] if where else []) + list(first["loc"]))
    return Refusal("invalid", f"{field}: {first['msg']}", {"field": field})


def _meta(event: _Event, lease: _Lease | None, proposer: str) -> str:
    meta: dict[str, Any] = {
        "actor": event.actor,
        "occurred_at": event.occurred_at,
        "proposer": proposer,
    }
    for name in ("causation_id", "correlation_id", "trace"):
        if (value := getattr(event, name)) is not None:
            meta[name] = value
    if lease is not None:
        meta |= {"lease": lease.name, "epoch": lease.epoch}
    return orjson.dumps(meta).decode()
