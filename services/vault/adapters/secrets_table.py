"""Encrypted secrets in PostgreSQL: versions counted per secret, none ever reused."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from services.chassis.database import Database, Queries
from services.vault.state import Encrypted, Kept, NewVersion

if TYPE_CHECKING:
    from collections.abc import Callable

_SQL = Queries(Path(__file__).parents[1] / "queries.sql")


class SecretsTable:
    """The table vault.secrets."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def add(self, new: NewVersion, encrypt: Callable[[int], Encrypted]) -> int:
        """Keep a new version and return its number, or the number this request already has."""
        async with self._database.transaction() as transaction:
            await transaction.execute(_SQL["take_turns"], new.secret_id)
            if new.request_id is not None:
                known = await transaction.fetchval(
                    _SQL["version_of_request"], new.secret_id, new.request_id
                )
                if known is not None:
                    return int(known)
            version = int(await transaction.fetchval(_SQL["next_version"], new.secret_id))
            value = encrypt(version)
            await transaction.execute(
                _SQL["add"],
                new.secret_id,
                version,
                value.ciphertext,
                value.nonce,
                new.purpose,
                list(new.readers),
                new.request_id,
            )
            return version

    async def get(self, secret_id: str, version: int) -> Kept | None:
        """Return a version that was not erased."""
        row = await self._database.fetchrow(_SQL["get"], secret_id, version)
        if row is None:
            return None
        return Kept(Encrypted(row["ciphertext"], row["nonce"]), frozenset(row["readers"]))

    async def erase(self, secret_id: str, version: int | None = None) -> int:
        """Erase one version, or all, and return how many there were."""
        tag = await self._database.execute(_SQL["erase"], secret_id, version)
        return int(tag.rpartition(" ")[2])
