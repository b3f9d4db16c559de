"""Snapshots in PostgreSQL."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from services.chassis.database import Queries
from services.journal.snapshots import ANYWHERE, OLD_FOLD_DAYS, Kept

if TYPE_CHECKING:
    from services.chassis.database import Database
    from services.journal.snapshots import Piece

QUERIES = Queries(Path(__file__).parents[1] / "snapshots.sql")


class PostgresSnapshots:
    """The port `Keeping`, but for the log itself, on two tables."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def put_chunk(self, service: str, piece: Piece, body: bytes) -> None:
        """Store a chunk, in place of one that was put there before."""
        async with self._database.transaction() as tx:
            await tx.execute(QUERIES["forget_chunk"], service, piece.upload, piece.number)
            await tx.execute(QUERIES["put_chunk"], service, piece.upload, piece.number, body)

    async def chunk(self, service: str, piece: Piece) -> bytes | None:
        """Return a chunk."""
        body: bytes | None = await self._database.fetchval(
            QUERIES["chunk"], service, piece.upload, piece.number
        )
        return body

    async def chunk_digests(self, service: str, upload: str) -> list[str]:
        """Return the sha256 of every chunk of an upload, in order, as they are stored now."""
        rows = await self._database.fetch(QUERIES["chunk_digests"], service, upload)
        return [row["digest"] for row in rows]

    async def keep_snapshot(self, service: str, fingerprint: str, kept: Kept) -> bool:
        """Store a manifest; False, and its chunks go, where another is kept at that position.

        The question may come again after a kill: what is kept already stays as it is.
        """
        tag = await self._database.execute(
            QUERIES["keep"],
            service,
            fingerprint,
            kept.position,
            kept.event_id,
            kept.upload,
            kept.plain_bytes,
            list(kept.digests),
            kept.telemetry_since,
            kept.recorded_at,
        )
        if tag == "INSERT 0 1" or await self._database.fetchval(
            QUERIES["is_kept"], service, kept.upload
        ):
            return True
        await self._database.execute(QUERIES["forget_upload"], service, kept.upload)
        return False

    async def snapshots(
        self, service: str, fingerprint: str, at_most: int = ANYWHERE, limit: int = ANYWHERE
    ) -> list[Kept]:
        """Return what is kept up to a position, newest first, so many at most."""
        rows = await self._database.fetch(
            QUERIES["snapshots"], service, fingerprint, at_most, limit
        )
        return [
            Kept(
                row["position"],
                row["event_id"],
                row["upload"],
                row["plain_bytes"],
                tuple(row["digests"]),
                row["telemetry_since"],
                row["recorded_at"],
            )
            for row in rows
        ]

    async def snapshot_uploads(self, service: str, fingerprint: str) -> dict[int, str]:
        """Return the upload of each by its position, in order."""
        rows = await self._database.fetch(QUERIES["snapshot_uploads"], service, fingerprint)
        return {row["position"]: row["upload"] for row in rows}

    async def of_other_folds(self, service: str, fingerprint: str) -> int:
        """Return how many snapshots there are of other folds of a service."""
        return int(await self._database.fetchval(QUERIES["of_other_folds"], service, fingerprint))

    async def drop_snapshots(self, service: str, fingerprint: str, uploads: list[str]) -> None:
        """Delete snapshots, and sweep: chunks nobody named, what older folds left behind."""
        async with self._database.transaction() as tx:
            await tx.execute(QUERIES["drop"], service, fingerprint, uploads)
            await tx.execute(QUERIES["drop_old_folds"], service, fingerprint, OLD_FOLD_DAYS)
            await tx.execute(QUERIES["sweep_chunks"])
