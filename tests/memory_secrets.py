"""The vault's table in memory."""

from __future__ import annotations

from typing import TYPE_CHECKING

from services.vault.state import Encrypted, Kept, NewVersion

if TYPE_CHECKING:
    from collections.abc import Callable


class MemorySecrets:
    def __init__(self) -> None:
        self.rows: dict[tuple[str, int], Kept | None] = {}
        self.requests: dict[tuple[str, str], int] = {}

    async def add(self, new: NewVersion, encrypt: Callable[[int], Encrypted]) -> int:
        known = self.requests.get((new.secret_id, new.request_id or ""))
        if known is not None:
            return known
        version = 1 + sum(secret_id == new.secret_id for secret_id, _ in self.rows)
        self.rows[new.secret_id, version] = Kept(encrypt(version), frozenset(new.readers))
        if new.request_id:
            self.requests[new.secret_id, new.request_id] = version
        return version

    async def get(self, secret_id: str, version: int) -> Kept | None:
        return self.rows.get((secret_id, version))

    async def erase(self, secret_id: str, version: int | None = None) -> int:
        mine = [key for key in self.rows if key[0] == secret_id and version in {None, key[1]}]
        for key in mine:
            self.rows[key] = None
        return len(mine)
