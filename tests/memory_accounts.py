"""What the gateway keeps for itself, in memory: as the tables do it, without a database."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from argon2 import PasswordHasher
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from pydantic import SecretStr

from contracts.types import SecretRef
from services.gateway.adapters.credentials import AT_ONCE
from services.gateway.adapters.passwords import Argon2
from services.gateway.adapters.tokens import Tokens
from services.gateway.decide.principals import Found, Session
from services.gateway.decide.throttling import charge
from services.gateway.handlers.entry_ports import Own

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from services.gateway.decide.throttling import Bucket

HOUR = timedelta(hours=1)


def quick_argon2() -> Argon2:
    """Return argon2id with parameters that protect nothing and cost nothing."""
    return Argon2(PasswordHasher(time_cost=1, memory_cost=8, parallelism=1))


def memory_own(token: str, keys: Any) -> Own:
    return Own(
        admin_token=SecretStr(token),
        keys=keys,
        credentials=MemoryCredentials(),
        sessions=MemorySessions(),
        attempts=MemoryAttempts(),
        passwords=quick_argon2(),
        tokens=Tokens((Ed25519PrivateKey.generate(),), HOUR),
    )


@dataclass
class MemoryCredentials:
    rows: dict[tuple[str, int], tuple[str, str]] = field(default_factory=dict)
    position: int = 0

    async def keep(self, secret_id: str, digest: str, request_id: str, above: int = 0) -> SecretRef:
        versions = [version for id_, version in self.rows if id_ == secret_id]
        for version in versions:
            if self.rows[secret_id, version][1] == request_id:
                return SecretRef(secret_id=secret_id, version=version)
        version = max([*versions, above]) + 1
        self.rows[secret_id, version] = (digest, request_id)
        return SecretRef(secret_id=secret_id, version=version)

    async def digest(self, secret_id: str, version: int) -> str | None:
        return self.rows.get((secret_id, version), (None, ""))[0]

    async def renew(self, secret_id: str, version: int, digest: str) -> None:
        self.rows[secret_id, version] = (digest, self.rows[secret_id, version][1])

    async def forget(self, secret_id: str, version: int | None = None) -> None:
        for place in list(self.rows):
            if place[0] == secret_id and version in {None, place[1]}:
                del self.rows[place]

    async def forget_older(self, secret_id: str, version: int) -> None:
        for place in list(self.rows):
            if place[0] == secret_id and place[1] < version:
                del self.rows[place]

    async def key_of(self, digest: str) -> Found[str]:
        found = [id_ for (id_, _), row in self.rows.items() if row[0] == digest]
        keys = [id_ for id_ in found if id_.startswith("key.")]
        return Found(keys[0] if keys else None, self.position)

    async def authority(self) -> int:
        return self.position

    async def advance(self, position: int) -> None:
        self.position = max(self.position, position)


@dataclass
class MemorySessions:
    rows: dict[str, tuple[Session, datetime]] = field(default_factory=dict)
    tokens: dict[bytes, tuple[str, datetime, datetime | None]] = field(default_factory=dict)

    async def open(
        self, session: Session, now: datetime, until: datetime, refresh: bytes | None
    ) -> None:
        self.rows[session.session_id] = (session, until)
        if refresh is not None:
            self.tokens[refresh] = (session.session_id, until, None)

    async def find(self, session_id: str, now: datetime) -> Found[Session]:
        session, until = self.rows.get(session_id, (None, now))
        return Found(session if until > now else None, 0)

    async def end(self, session_id: str) -> None:
        self.rows.pop(session_id, None)

    async def refresh(
        self, used: bytes, given: bytes, now: datetime, until: datetime
    ) -> Session | None:
        id_, over, used_at = self.tokens.get(used, ("", now, None))
        if id_ not in self.rows or over <= now:
            return None
        if used_at is not None:
            if used_at < now - AT_ONCE:
                await self.end(id_)
            return None
        self.tokens[used] = (id_, over, now)
        self.tokens[given] = (id_, until, None)
        self.rows[id_] = (self.rows[id_][0], until)
        return self.rows[id_][0]


@dataclass
class MemoryAttempts:
    full_at: dict[str, datetime] = field(default_factory=dict)

    async def charge(self, buckets: Sequence[Bucket], now: datetime) -> float:
        known = [replace(each, full_at=self.full_at.get(each.name)) for each in buckets]
        charged = charge(known, now)
        self.full_at |= zip((each.name for each in buckets), charged.full_at, strict=False)
        return charged.wait_s

    async def give_back(self, buckets: Sequence[Bucket]) -> None:
        for each in buckets:
            self.full_at[each.name] -= each.limit.every
