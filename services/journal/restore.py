"""Restore a backup into an empty log: whole or not at all, verified afterwards, rewinds said."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from services.chassis.errors import Refused
from services.journal.backup import BY_POSITION, SECRETS, Damaged
from services.journal.records import never_mind
from services.journal.verify import verify

if TYPE_CHECKING:
    from collections.abc import Sequence

    from services.journal.backup import Chunk, Manifest
    from services.journal.records import Tell
    from services.journal.verify import Verifiable


class Files(Protocol):
    """The directory of a backup."""

    def manifest(self) -> Manifest:
        """Return its manifest; raises Refused where there is none."""

    def rows(self, chunk: Chunk) -> AsyncIterator[bytes]:
        """Yield a chunk's rows; raises Refused at its end when its hash is another."""


class Writing(Protocol):
    """One transaction on the log that is restored."""

    async def is_empty(self) -> bool:
        """Return whether the log holds nothing yet, and never held anything."""

    async def make_partitions(self, names: Sequence[str]) -> None:
        """Make partitions of telemetry."""

    async def take(self, chunk: Chunk, columns: Sequence[str], rows: AsyncIterator[bytes]) -> int:
        """Take a chunk's rows and return how many they were."""

    async def rewinds(self, head: int) -> list[str]:
        """Return what in this database has seen another log than the one restored."""

    async def published(self, position: int, event_id: str | None) -> None:
        """Set the publisher's cursor: what is restored was published once."""

    async def drop_snapshots(self, behind: int) -> None:
        """Drop the snapshots of positions that are not there any more: they are caches."""


class Target(Protocol):
    """The database that is restored into."""

    def writing(self) -> AbstractAsyncContextManager[Writing]:
        """Begin a transaction, committed at the end of its block."""

    async def applied(self) -> Sequence[str]:
        """Bring the schema to what this code knows, and return its migrations."""

    def log(self) -> Verifiable:
        """Return the restored log."""


@dataclass(frozen=True, slots=True)
class Wish:
    """How to restore: over what has seen a newer log, and with the vault's table."""

    accept_rewind: bool = False
    with_secrets: bool = False


async def restore(
    files: Files, target: Target, wish: Wish, tell: Tell = never_mind
) -> dict[str, Any]:
    """Restore and return what verification then found, and who saw a newer log.

    Raises Refused, and then nothing is changed: when the log is not empty, or something in the
    database stands on a position that the backup does not reach; Damaged when a chunk is.
    """
    manifest = files.manifest()
    newer = set(manifest.head.migrations) - set(await target.applied())
    if newer:
        raise Refused(f"the backup is of a newer schema: {', '.join(sorted(newer))} is unknown")
    async with target.writing() as tx:
        if not await tx.is_empty():
            raise Refused("the log there is not empty: restore into a fresh database")
        await _load(files, manifest, tx, wish, tell)
        rewinds = await tx.rewinds(manifest.head.position)
        if rewinds and not wish.accept_rewind:
            raise Refused(
                f"the log would be rewound: {'; '.join(rewinds)}. Restore into a fresh database,"
                " or accept the rewind and rebuild the read models afterwards"
            )
        await tx.published(manifest.head.position, manifest.head.event_id)
    return await _verified(manifest, target, rewinds, tell)


async def accept_rewind(target: Target) -> dict[str, Any]:
    """Go on from where the log ends now, whatever was seen of the one before.

    Return that position and who saw more: what they saw is to be made anew. Raises Refused where
    nobody did.
    """
    head = await target.log().head()
    async with target.writing() as tx:
        rewinds = await tx.rewinds(head.position)
        if not rewinds:
            raise Refused("the log was not rewound: everything stands on what it holds")
        await tx.published(head.position, head.event_id)
        await tx.drop_snapshots(head.position)
    return {"position": head.position, "event_id": head.event_id, "rewinds": rewinds}


async def _load(files: Files, manifest: Manifest, tx: Writing, wish: Wish, tell: Tell) -> None:
    await tx.make_partitions(manifest.head.partitions)
    for chunk in manifest.chunks:
        if chunk.table == SECRETS and not wish.with_secrets:
            continue
        rows = await tx.take(chunk, manifest.columns[chunk.table], files.rows(chunk))
        if rows != chunk.rows:
            raise Damaged(f"{chunk.file} has {rows} rows, the manifest says {chunk.rows}")
        if chunk.table in BY_POSITION:
            tell(chunk.through, manifest.head.position, "positions restored")


async def _verified(
    manifest: Manifest, target: Target, rewinds: list[str], tell: Tell
) -> dict[str, Any]:
    report = await verify(target.log(), lambda done, total, _: tell(done, total, "events verified"))
    if report.hash != manifest.head.facts_hash:
        report.blame(
            None, f"the chain ends at {report.hash}, the manifest says {manifest.head.facts_hash}"
        )
    return {**report.as_dict(), "events": manifest.events, "rewinds": rewinds or report.rewinds}
