"""Passwords digested with argon2id, in threads, and never more at once than memory allows."""

from __future__ import annotations

import asyncio
import unicodedata
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from argon2 import PasswordHasher, Type
from argon2.exceptions import InvalidHashError, VerificationError, VerifyMismatchError

from services.chassis.errors import Bug, Unavailable
from services.chassis.ids import token

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

# RFC 9106, section 4, second choice: 64 MiB and three passes.
MEMORY_KIB, PASSES, LANES = 64 * 1024, 3, 4
AT_ONCE = 2
WAITING = 32


class Argon2:
    """Digests and checks passwords; raises Unavailable when too many wait for it."""

    def __init__(self, hasher: PasswordHasher | None = None) -> None:
        self._hasher = hasher or PasswordHasher(
            time_cost=PASSES, memory_cost=MEMORY_KIB, parallelism=LANES, type=Type.ID
        )
        self._turns = asyncio.Semaphore(AT_ONCE)
        self._waiting = 0
        self._nobody: str | None = None

    async def digest(self, password: str) -> str:
        """Return a digest with its salt and parameters."""
        async with self._turn():
            return await asyncio.to_thread(self._hasher.hash, _plain(password))

    async def is_right(self, digest: str | None, password: str) -> bool:
        """Return whether a password fits; without a digest it never does, in the same time."""
        async with self._turn():
            fits = await asyncio.to_thread(self._fits, digest, _plain(password))
        return fits and digest is not None

    def is_dated(self, digest: str) -> bool:
        """Return whether a digest was made with other parameters than today's."""
        return self._hasher.check_needs_rehash(digest)

    def _fits(self, digest: str | None, password: str) -> bool:
        # Nobody's password, made whoever comes first: who does not exist takes as long to refuse
        # as who does.
        self._nobody = self._nobody or self._hasher.hash(token())
        try:
            return self._hasher.verify(digest or self._nobody, password)
        except VerifyMismatchError:
            return False
        except (InvalidHashError, VerificationError) as error:
            raise Bug("a stored digest cannot be read") from error

    @asynccontextmanager
    async def _turn(self) -> AsyncIterator[None]:
        if self._waiting >= WAITING:
            raise Unavailable("too many passwords are being checked at once")
        self._waiting += 1
        try:
            async with self._turns:
                yield
        finally:
            self._waiting -= 1


def _plain(password: str) -> str:
    """Return one way of writing what looks the same, whichever keyboard it came from."""
    return unicodedata.normalize("NFKC", password)
