"""What letting people in needs of the world."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime, timedelta

    from pydantic import SecretStr

    from contracts.types import SecretRef
    from services.gateway.decide.claims import Claims
    from services.gateway.decide.principals import Found, Session
    from services.gateway.decide.throttling import Bucket
    from services.gateway.handlers.ports import Keys


class Credentials(Protocol):
    """Where digests are kept."""

    async def keep(self, secret_id: str, digest: str, request_id: str, above: int = 0) -> SecretRef:
        """Keep a new version, later than `above`; the same request_id is the same version."""

    async def digest(self, secret_id: str, version: int) -> str | None:
        """Return the digest of one version."""

    async def renew(self, secret_id: str, version: int, digest: str) -> None:
        """Replace the digest of one version by another of the same password."""

    async def forget(self, secret_id: str, version: int | None = None) -> None:
        """Erase one version, or all."""

    async def forget_older(self, secret_id: str, version: int) -> None:
        """Erase the versions before this one."""

    async def key_of(self, digest: str) -> Found[str]:
        """Return the secret_id whose digest this is."""

    async def authority(self) -> int:
        """Return the position of the newest fact about accounts or keys."""

    async def advance(self, position: int) -> None:
        """Let no gateway judge before it has folded this position."""


class Sessions(Protocol):
    """Where logins are kept."""

    async def open(
        self, session: Session, now: datetime, until: datetime, refresh: bytes | None
    ) -> None:
        """Open a session, with the digest of its first refresh token if it has one."""

    async def find(self, session_id: str, now: datetime) -> Found[Session]:
        """Return a session that has not ended."""

    async def end(self, session_id: str) -> None:
        """End a session, and with it all of its tokens."""

    async def refresh(
        self, used: bytes, given: bytes, now: datetime, until: datetime
    ) -> Session | None:
        """Exchange a refresh token for another; one that was used before ends its session."""


class Attempts(Protocol):
    """Where attempts are counted, for all gateways together."""

    async def charge(self, buckets: Sequence[Bucket], now: datetime) -> float:
        """Return 0 and take one attempt from every bucket, or how many seconds to wait."""

    async def give_back(self, buckets: Sequence[Bucket]) -> None:
        """Put the attempt of somebody who was right back."""


class Passwords(Protocol):
    """What digests passwords."""

    async def digest(self, password: str) -> str:
        """Return a digest with its salt and parameters."""

    async def is_right(self, digest: str | None, password: str) -> bool:
        """Return whether a password fits; without a digest it never does, in the same time."""

    def is_dated(self, digest: str) -> bool:
        """Return whether a digest was made with other parameters than today's."""


class Tokens(Protocol):
    """What signs and reads access tokens."""

    @property
    def lifetime(self) -> timedelta:
        """How long a token is good."""

    def issue(self, account_id: str, session_id: str, now: datetime) -> str:
        """Return a token for a session."""

    def read(self, token: str) -> Claims | None:
        """Return what a token of ours says, whether it is over or not; None for any other."""


@dataclass(frozen=True)
class Own:
    """What the gateway keeps for itself, beside the log.

    admin_token: the installation's own, which works before there is any account.
    """

    admin_token: SecretStr
    keys: Keys
    credentials: Credentials
    sessions: Sessions
    attempts: Attempts
    passwords: Passwords
    tokens: Tokens
