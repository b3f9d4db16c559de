"""Credentials and sessions in PostgreSQL: digests, logins, refresh tokens, and nothing readable."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import UUID

from contracts.types import SecretRef
from services.chassis.database import Database, Queries
from services.gateway.decide.principals import Found, Session

if TYPE_CHECKING:
    from datetime import datetime

_SQL = Queries(Path(__file__).parents[1] / "accounts.sql")
# Two tabs of one browser may refresh at once; a thief comes later.
AT_ONCE = timedelta(seconds=10)


class CredentialsTable:
    """The tables gateway.credentials and gateway.authority."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def keep(self, secret_id: str, digest: str, request_id: str, above: int = 0) -> SecretRef:
        """Keep a new version, later than `above`; the same request_id is the same version."""
        async with self._database.transaction() as transaction:
            await transaction.execute(_SQL["take_turns"], secret_id)
            version = await transaction.fetchval(_SQL["keep"], secret_id, digest, request_id, above)
        return SecretRef(secret_id=secret_id, version=version)

    async def digest(self, secret_id: str, version: int) -> str | None:
        """Return the digest of one version."""
        found: str | None = await self._database.fetchval(_SQL["digest"], secret_id, version)
        return found

    async def renew(self, secret_id: str, version: int, digest: str) -> None:
        """Replace the digest of one version by another of the same password."""
        await self._database.execute(_SQL["renew"], secret_id, version, digest)

    async def forget(self, secret_id: str, version: int | None = None) -> None:
        """Erase one version, or all."""
        await self._database.execute(_SQL["forget"], secret_id, version)

    async def forget_older(self, secret_id: str, version: int) -> None:
        """Erase the versions before this one."""
        await self._database.execute(_SQL["forget_older"], secret_id, version)

    async def key_of(self, digest: str) -> Found[str]:
        """Return the secret_id whose digest this is, and the authority's position."""
        row = await self._database.fetchrow(_SQL["key_of"], digest)
        return Found(None, 0) if row is None else Found(row["secret_id"], row["authority"])

    async def authority(self) -> int:
        """Return the position of the newest fact about accounts or keys."""
        return int(await self._database.fetchval(_SQL["authority"]))

    async def advance(self, position: int) -> None:
        """Let no gateway judge before it has folded this position."""
        await self._database.execute(_SQL["advance"], position)

    async def rewind(self, head: int) -> None:
        """Take back what lies beyond the end of a log that was restored."""
        await self._database.execute(_SQL["rewind"], head)


class SessionsTable:
    """The tables gateway.sessions and gateway.refresh_tokens."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def open(
        self, session: Session, now: datetime, until: datetime, refresh: bytes | None
    ) -> None:
        """Open a session, with the digest of its first refresh token if it has one."""
        id_ = UUID(session.session_id)
        async with self._database.transaction() as transaction:
            await transaction.execute(
                _SQL["open"], id_, session.account_id, session.password_version, now, until
            )
            if refresh is not None:
                await transaction.execute(_SQL["give"], refresh, id_, until)

    async def find(self, session_id: str, now: datetime) -> Found[Session]:
        """Return a session that has not ended, and the authority's position."""
        row = await self._database.fetchrow(_SQL["session_of"], UUID(session_id), now)
        if row is None:
            return Found(None, 0)
        if row["account_id"] is None:
            return Found(None, row["authority"])
        found = Session(session_id, row["account_id"], row["password_version"])
        return Found(found, row["authority"])

    async def end(self, session_id: str) -> None:
        """End a session, and with it all of its tokens."""
        await self._database.execute(_SQL["end"], UUID(session_id))

    async def refresh(
        self, used: bytes, given: bytes, now: datetime, until: datetime
    ) -> Session | None:
        """Exchange a refresh token for another; None for one that is unknown, used or over.

        Used again later, it ends its session: two have it, and one of them stole it.
        """
        async with self._database.transaction() as transaction:
            id_ = await transaction.fetchval(_SQL["use"], used, now)
            if id_ is None:
                await transaction.fetchval(_SQL["end_reused"], used, now - AT_ONCE)
                return None
            row = await transaction.fetchrow(_SQL["prolong"], id_, until)
            await transaction.execute(_SQL["give"], given, id_, until)
        if row is None:
            return None
        return Session(str(id_), row["account_id"], row["password_version"])

    async def sweep(self, now: datetime) -> None:
        """Forget sessions that ended by themselves, and buckets that are full."""
        await self._database.execute(_SQL["sweep_sessions"], now)
        await self._database.execute(_SQL["sweep_attempts"], now)
