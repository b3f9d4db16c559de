"""Snapshots of folded states: frozen, kept by the journal, fetched, thawed; a cache and no more.

Deleting every snapshot changes nothing but time. What is damaged, of another shape or fold, or
not of this log, is passed over with a line in the log of this process, and history is read.

A service keeps its state by giving its `Folding` a keeper, and can have the state of the past:

    keeper = Keeper(bus, SERVICE, state, clock, pace=settings.snapshot_pace())   # chassis.keeping
    folding = Folding(follower, state.apply, log_clock, keeper=keeper)

    past = Past(bus, SERVICE, State, clock, telemetry_window_s=...)              # chassis.past
    then: State = await past.at(position)

`past.at` gives the state folded through `position` from the nearest snapshot at or before it plus
history: an object of its own, shared with whoever asks for the same position, so only read it.
It raises Refused for a position that is not recorded yet, and Unavailable.

Over `qm.journal`: `{op: snapshot.find, fingerprint, at_most, telemetry, with_chunk}` answers
`{snapshots, refused, sealed, of_other_folds, head, moment, event_id}`, and a line feed and the
newest one's first chunk if that is wanted; what it refuses it deletes.
`snapshot.fetch {upload, number}` answers one chunk; `snapshot.put {upload, number}`, a line feed
and a chunk store one; then `snapshot.keep {fingerprint, position, event_id, upload, digests, ...}`
makes a snapshot of them.
Whose snapshots they are is the broker-validated user.
"""

from __future__ import annotations

import hashlib
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

import orjson

from services.chassis import wire
from services.chassis.errors import NotFound, Refused, Unavailable
from services.chassis.ids import uuid7

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from services.chassis.ports import Bus

CHUNK_BYTES = 1024 * 1024
MOST_KEPT = 4096  # of one service and fold
ASK_TIMEOUT_S = 10.0


@dataclass(frozen=True, slots=True)
class Manifest:
    """What the journal knows of a snapshot.

    position, event_id: folded through, and the event there. telemetry_since: how far back its
    telemetry was read, None for all there was. digests: sha256 of each chunk, in order.
    """

    upload: str
    fingerprint: str
    position: int
    event_id: str
    plain_bytes: int
    digests: tuple[str, ...]
    telemetry_since: datetime | None = None
    recorded_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Found:
    """Usable snapshots, newest first; why others are not; the head.

    moment, event_id: of the position asked about. of_other_folds: how many snapshots there are
    that this code cannot use. sealed: through which position telemetry was dropped. chunk: the
    first one of the newest snapshot, if it was asked for.
    """

    manifests: Sequence[Manifest]
    refused: Sequence[Mapping[str, Any]]
    head: int
    moment: datetime | None = None
    event_id: str | None = None
    of_other_folds: int = 0
    sealed: int = 0
    chunk: bytes = b""


class Damaged(ValueError):
    """A chunk is not what its manifest says."""


class Shelf:
    """A service's snapshots of one fingerprint, as the journal keeps them."""

    def __init__(self, bus: Bus, fingerprint: str) -> None:
        self._bus, self.fingerprint = bus, fingerprint

    async def find(
        self, *, telemetry: bool, at_most: int | None = None, with_chunk: bool = False
    ) -> Found:
        """Return what there is, up to a position; raises Refused or Unavailable.

        telemetry: whether the state folds any, so that a hole in it would matter.
        with_chunk: whether the newest one is wanted at once, to begin with.
        """
        question = {"at_most": at_most, "telemetry": telemetry, "with_chunk": with_chunk}
        _, body = await self._ask("find", {"fingerprint": self.fingerprint, **question})
        said, _, chunk = body.partition(b"\n")
        answer = orjson.loads(said)
        return Found(
            [_manifest(self.fingerprint, each) for each in answer["snapshots"]],
            answer["refused"],
            answer["head"],
            _moment(answer["moment"]),
            answer["event_id"],
            answer["of_other_folds"],
            answer["sealed"],
            chunk,
        )

    async def fetch(self, manifest: Manifest, first: bytes = b"") -> bytes:
        """Return a snapshot's packed bytes; raises Damaged, Refused or Unavailable.

        first: its first chunk, if that is known already.
        """
        chunks = []
        for number, digest in enumerate(manifest.digests):
            chunk = first if number == 0 else b""
            if not chunk:
                question = {"upload": manifest.upload, "number": number}
                _, chunk = await self._ask("fetch", question)
            if hashlib.sha256(chunk).hexdigest() != digest:
                raise Damaged(f"chunk {number} is not what its manifest says")
            chunks.append(chunk)
        return b"".join(chunks)

    async def put(self, snapshot: Manifest, packed: bytes, *, kept: int) -> Manifest:
        """Store packed bytes under what `snapshot` says of them; return its manifest.

        kept: how many snapshots the journal keeps of this service and fingerprint.
        Raises Refused when the log holds another event at its position, or Unavailable.
        """
        upload, digests = uuid7(), []
        for number, start in enumerate(range(0, len(packed), CHUNK_BYTES)):
            chunk = packed[start : start + CHUNK_BYTES]
            await self._ask("put", {"upload": upload, "number": number}, chunk)
            digests.append(hashlib.sha256(chunk).hexdigest())
        said = asdict(snapshot) | {"upload": upload, "digests": tuple(digests)}
        del said["recorded_at"]
        await self._ask("keep", {**said, "kept": kept})
        return Manifest(**said)

    async def _ask(
        self, op: str, question: Mapping[str, Any], chunk: bytes = b""
    ) -> tuple[Mapping[str, Any], bytes]:
        # A JSON text of orjson's has no line feed in it: what follows the first one is the chunk.
        body = orjson.dumps({"op": f"snapshot.{op}", **question})
        body = b"\n".join((body, chunk)) if chunk else body
        try:
            headers, answer = await self._bus.ask(
                wire.EXCHANGE_JOURNAL, wire.QUEUE_JOURNAL, body, timeout_s=ASK_TIMEOUT_S
            )
        except Refused as error:  # nobody has declared its queue yet
            raise Unavailable(error.detail) from error
        if "error" in headers:
            raise (NotFound if op == "fetch" else Refused)(str(headers["error"]))
        return headers, answer


def _manifest(fingerprint: str, said: Mapping[str, Any]) -> Manifest:
    return Manifest(
        upload=said["upload"],
        fingerprint=fingerprint,
        position=said["position"],
        event_id=said["event_id"],
        plain_bytes=said["plain_bytes"],
        digests=tuple(said["digests"]),
        telemetry_since=_moment(said["telemetry_since"]),
        recorded_at=_moment(said["recorded_at"]),
    )


def _moment(said: str | None) -> datetime | None:
    return None if said is None else datetime.fromisoformat(said)
