"""Snapshots in memory."""

from __future__ import annotations

from typing import TYPE_CHECKING

from services.journal.snapshots import ANYWHERE, digest

if TYPE_CHECKING:
    from services.journal.snapshots import Kept, Piece


class MemorySnapshots:
    """The port `Keeping`, but for the log itself, in dictionaries."""

    def __init__(self) -> None:
        self._kept: dict[tuple[str, str], dict[int, Kept]] = {}
        self._chunks: dict[tuple[str, str], dict[int, bytes]] = {}

    async def put_chunk(self, service: str, piece: Piece, body: bytes) -> None:
        """Store a chunk, in place of one that was put there before."""
        self._chunks.setdefault((service, piece.upload), {})[piece.number] = body

    async def chunk(self, service: str, piece: Piece) -> bytes | None:
        """Return a chunk."""
        return self._chunks.get((service, piece.upload), {}).get(piece.number)

    async def chunk_digests(self, service: str, upload: str) -> list[str]:
        """Return the sha256 of every chunk of an upload, in order."""
        chunks = self._chunks.get((service, upload), {})
        return [digest(chunks[number]) for number in sorted(chunks)]

    async def keep_snapshot(self, service: str, fingerprint: str, kept: Kept) -> bool:
        """Store a manifest; False, and its chunks go, where another is kept at that position."""
        known = self._kept.setdefault((service, fingerprint), {}).setdefault(kept.position, kept)
        if known.upload != kept.upload:
            self._chunks.pop((service, kept.upload), None)
        return known.upload == kept.upload

    async def snapshots(
        self, service: str, fingerprint: str, at_most: int = ANYWHERE, limit: int = ANYWHERE
    ) -> list[Kept]:
        """Return what is kept up to a position, newest first, so many at most."""
        kept = self._kept.get((service, fingerprint), {})
        return [kept[each] for each in sorted(kept, reverse=True) if each <= at_most][:limit]

    async def snapshot_uploads(self, service: str, fingerprint: str) -> dict[int, str]:
        """Return the upload of each by its position, in order."""
        kept = self._kept.get((service, fingerprint), {})
        return {position: kept[position].upload for position in sorted(kept)}

    async def of_other_folds(self, service: str, fingerprint: str) -> int:
        """Return how many snapshots there are of other folds of a service."""
        others = [key for key in self._kept if key[0] == service and key[1] != fingerprint]
        return sum(len(self._kept[key]) for key in others)

    async def drop_snapshots(self, service: str, fingerprint: str, uploads: list[str]) -> None:
        """Delete snapshots with their chunks."""
        for position, kept in [*self._kept.get((service, fingerprint), {}).items()]:
            if kept.upload in uploads:
                del self._kept[service, fingerprint][position]
                self._chunks.pop((service, kept.upload), None)
