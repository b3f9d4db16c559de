"""Keep snapshots of services' folded states: chunks, a manifest, and whether the log agrees."""

from __future__ import annotations

import hashlib
from contextlib import aclosing
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any, Protocol

import orjson
import structlog
from pydantic import AwareDatetime, BaseModel, Field, StringConstraints

from services.chassis.errors import Bug, Refused
from services.chassis.snapshots import CHUNK_BYTES, MOST_KEPT

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence

    from services.journal.records import Head, Row, Seal

log = structlog.get_logger(__name__)

ANYWHERE = 2**53  # behind every position
MAX_CHUNKS = 1024
ALWAYS_KEPT = 3  # the newest ones, whatever is thinned: a damaged one must not be the only one
ANSWERED = 3  # more than one: the newest may turn out to be damaged
MOST_DROPPED = 32  # for one that comes: what looks through all of them must not take long
OLD_FOLD_DAYS = 7  # how long a service can go back to an older fold and find its snapshots

_Digest = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
_Uuid = Annotated[
    str,
    StringConstraints(pattern=r"^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$"),
]
_Position = Annotated[int, Field(ge=1, le=ANYWHERE)]
_Number = Annotated[int, Field(ge=0, lt=MAX_CHUNKS)]


class Find(BaseModel):
    """`{op: snapshot.find, fingerprint, at_most, telemetry, with_chunk}`.

    with_chunk: the first chunk of the newest one that is of use comes along.
    """

    fingerprint: _Digest
    at_most: Annotated[int, Field(ge=0, le=ANYWHERE)] | None = None
    telemetry: bool = False
    with_chunk: bool = False


class Piece(BaseModel):
    """`{op: snapshot.put | snapshot.fetch, upload, number}`."""

    upload: _Uuid
    number: _Number


class Keep(BaseModel):
    """`{op: snapshot.keep, ...}`: the manifest of chunks that were put before."""

    fingerprint: _Digest
    position: _Position
    event_id: _Uuid
    upload: _Uuid
    plain_bytes: Annotated[int, Field(ge=1, le=2**40)]
    digests: Annotated[list[_Digest], Field(min_length=1, max_length=MAX_CHUNKS)]
    telemetry_since: AwareDatetime | None = None
    kept: Annotated[int, Field(ge=1, le=MOST_KEPT)] = ALWAYS_KEPT


@dataclass(frozen=True, slots=True)
class Kept:
    """A snapshot in the table; `recorded_at` is of the event at its position."""

    position: int
    event_id: str
    upload: str
    plain_bytes: int
    digests: tuple[str, ...]
    telemetry_since: datetime | None
    recorded_at: datetime


class Keeping(Protocol):
    """What a log must do for snapshots; `service` is whose they are."""

    async def read(self, after: int, limit: int) -> Sequence[Row]:
        """Return the rows behind a position, in order."""

    async def head(self) -> Head:
        """Return the newest position."""

    async def seals(self) -> list[Seal]:
        """Return what dropped partitions left behind, in order."""

    async def put_chunk(self, service: str, piece: Piece, body: bytes) -> None:
        """Store a chunk, in place of one that was put there before."""

    async def chunk(self, service: str, piece: Piece) -> bytes | None:
        """Return a chunk."""

    async def chunk_digests(self, service: str, upload: str) -> list[str]:
        """Return the sha256 of every chunk of an upload, in order, as they are stored now."""

    async def keep_snapshot(self, service: str, fingerprint: str, kept: Kept) -> bool:
        """Store a manifest; False, and its chunks go, where another is kept at that position."""

    async def snapshots(
        self, service: str, fingerprint: str, at_most: int, limit: int
    ) -> list[Kept]:
        """Return what is kept up to a position, newest first, so many at most."""

    async def snapshot_uploads(self, service: str, fingerprint: str) -> dict[int, str]:
        """Return the upload of each by its position, in order."""

    async def of_other_folds(self, service: str, fingerprint: str) -> int:
        """Return how many snapshots there are of other folds of a service."""

    async def drop_snapshots(self, service: str, fingerprint: str, uploads: list[str]) -> None:
        """Delete snapshots, and sweep: chunks nobody named, what older folds left behind."""


Answer = tuple[dict[str, Any], bytes]


async def answer(log_: Keeping, user: str | None, question: Any, chunk: bytes) -> Answer:
    """Answer one question about the snapshots of a user.

    Raises Refused, or ValidationError for a question that is none.
    """
    if not user:
        raise Refused("user_id: a snapshot belongs to whom the broker knows")
    try:
        return await OPERATIONS[question["op"]](log_, user, question, chunk)
    except Bug as error:  # a cache must not end the journal
        log.exception("snapshots", service=user, op=question["op"])
        raise Refused(error.detail) from error


async def _find(log_: Keeping, user: str, question: Any, _: bytes) -> Answer:
    asked = Find.model_validate(question)
    # One statement after the other: the log's connections are the appends' before all others'.
    head, row = await _asked_about(log_, asked)
    sealed = await _sealed(log_, asked)
    of_other_folds = await log_.of_other_folds(user, asked.fingerprint)
    usable: list[Kept] = []
    refused: list[dict[str, Any]] = []
    async with aclosing(_judged(log_, user, asked, sealed)) as pages:
        async for good, bad in pages:
            usable += good
            refused += [{"position": kept.position, "because": why} for kept, why in bad]
            if bad:  # of use to nobody, ever
                log.warning("snapshots refused", service=user, refused=refused[-len(bad) :])
                uploads = [kept.upload for kept, _ in bad]
                await log_.drop_snapshots(user, asked.fingerprint, uploads)
            if len(usable) >= ANSWERED:
                break
    found = {
        "snapshots": [_said(kept) for kept in usable[:ANSWERED]],
        "refused": refused,
        "sealed": sealed,
        "of_other_folds": of_other_folds,
        "head": head.position,
        "moment": row["recorded_at"] if row else None,
        "event_id": row["event_id"] if row else None,
    }
    body = orjson.dumps(found)
    if asked.with_chunk and usable:
        chunk = await log_.chunk(user, Piece(upload=usable[0].upload, number=0))
        body = b"\n".join((body, chunk or b""))
    return {}, body


async def _asked_about(log_: Keeping, asked: Find) -> tuple[Head, Row | None]:
    """Return the head, and the row at the position asked about: at the head when at none."""
    head = await log_.head()
    return head, await _row_at(log_, head.position if asked.at_most is None else asked.at_most)


async def _sealed(log_: Keeping, asked: Find) -> int:
    """Return through which position telemetry was dropped, as far as that matters."""
    seals = await log_.seals() if asked.telemetry else []
    return max((seal.last for seal in seals), default=0)


async def _judged(
    log_: Keeping, user: str, asked: Find, sealed: int
) -> AsyncGenerator[tuple[list[Kept], list[tuple[Kept, str]]]]:
    """Yield snapshots up to the position asked about, some at a time, the newest first.

    Those that are of use, and those that are not, each with why.
    """
    at_most = ANYWHERE if asked.at_most is None else asked.at_most
    while some := await log_.snapshots(user, asked.fingerprint, at_most, ANSWERED):
        head = await log_.head()  # read after them: none of them is newer
        judged = [
            (kept, _why_not(kept, await _row_at(log_, kept.position), head, sealed))
            for kept in some
        ]
        good = [kept for kept, why in judged if why is None]
        yield good, [(kept, why) for kept, why in judged if why is not None]
        at_most = some[-1].position - 1


def _said(kept: Kept) -> dict[str, Any]:
    return {name: getattr(kept, name) for name in Kept.__slots__}


async def _row_at(log_: Keeping, position: int) -> Row | None:
    rows = await log_.read(position - 1, 1) if position else ()
    return rows[0] if rows and rows[0]["position"] == position else None


def _why_not(kept: Kept, row: Row | None, head: Head, sealed: int) -> str | None:
    """Return why a snapshot is not of this log, or no longer of use; None when it is."""
    if kept.position > head.position:
        return f"the log ends at {head.position}: it was rewound"
    if kept.position < sealed:
        return "telemetry recorded after it was dropped"
    if row is None:
        return "the event it stands on was dropped"
    if row["event_id"] != kept.event_id:
        return "the log holds another event there: it was rewound"
    return None


async def _fetch(log_: Keeping, user: str, question: Any, _: bytes) -> Answer:
    chunk = await log_.chunk(user, Piece.model_validate(question))
    if chunk is None:
        raise Refused("number: there is no such chunk")
    return {}, chunk


async def _put(log_: Keeping, user: str, question: Any, chunk: bytes) -> Answer:
    piece = Piece.model_validate(question)
    if not 0 < len(chunk) <= CHUNK_BYTES:
        raise Refused(f"a chunk has 1 to {CHUNK_BYTES} bytes")
    await log_.put_chunk(user, piece, chunk)
    return {}, b"{}"


async def _keep(log_: Keeping, user: str, question: Any, _: bytes) -> Answer:
    asked = Keep.model_validate(question)
    row = await _row_at(log_, asked.position)
    if row is None or row["event_id"] != asked.event_id:
        raise Refused("event_id: the log does not hold this event at this position")
    if await log_.chunk_digests(user, asked.upload) != asked.digests:
        raise Refused("digests: not all chunks are there as they were put")
    kept = Kept(
        asked.position,
        asked.event_id,
        asked.upload,
        asked.plain_bytes,
        tuple(asked.digests),
        asked.telemetry_since,
        row["recorded_at"],
    )
    before = await log_.snapshots(user, asked.fingerprint, asked.position, 1)
    if before and before[0].position == kept.position and before[0].event_id != kept.event_id:
        await log_.drop_snapshots(user, asked.fingerprint, [before[0].upload])  # of another log
    is_new = await log_.keep_snapshot(user, asked.fingerprint, kept)
    uploads = await log_.snapshot_uploads(user, asked.fingerprint)
    too_many = surplus([*uploads], asked.kept, MOST_DROPPED)
    await log_.drop_snapshots(user, asked.fingerprint, [uploads[each] for each in too_many])
    return {}, orjson.dumps({"is_new": is_new, "dropped": too_many})


OPERATIONS: dict[str, Callable[[Keeping, str, Any, bytes], Awaitable[Answer]]] = {
    "snapshot.find": _find,
    "snapshot.fetch": _fetch,
    "snapshot.put": _put,
    "snapshot.keep": _keep,
}


def surplus(positions: Sequence[int], kept: int, at_once: int | None = None) -> list[int]:
    """Return which snapshots go so that `kept` stay, the newest three among them.

    at_once: no more than so many; the next time goes on with it.
    The older ones thin out with their age: what stays is spread so that the way from one to the
    next is about the same share of the way to the head, and any past is near one.
    """
    ordered = sorted(positions)
    gone: list[int] = []
    while len(ordered) > max(kept, 1) and len(gone) != at_once:
        if len(ordered) <= ALWAYS_KEPT:
            gone.append(ordered.pop(0))
            continue
        newest = ordered[-1]
        older = range(len(ordered) - ALWAYS_KEPT)
        # Between its neighbours, as a share of the way from the older of them to the newest.
        costs = [
            (ordered[n + 1] - (ordered[n - 1] if n else 0))
            / (newest - (ordered[n - 1] if n else 0))
            for n in older
        ]
        gone.append(ordered.pop(costs.index(min(costs))))
    return gone


def digest(chunk: bytes) -> str:
    """Return how a chunk is known."""
    return hashlib.sha256(chunk).hexdigest()
