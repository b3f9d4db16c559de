"""Who somebody is: what the log says of the account or the key that they prove to be."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Generic, Literal, TypeVar

from contracts.roles import Permission, Role, allowed

if TYPE_CHECKING:
    from services.gateway.state import Entity, State


@dataclass(frozen=True, slots=True)
class Principal:
    """Who asks; its name is the actor of what it causes.

    id: of the account or key; None for the installation's own token. session: what a token that
    was given at a login belongs to.
    """

    name: str
    permissions: frozenset[Permission]
    kind: Literal["bootstrap", "account", "key"] = "bootstrap"
    id: str | None = None
    role: Role = "admin"
    session: str | None = None
    expires_at: datetime | None = None

    def may(self, permission: Permission) -> bool:
        """Return whether it has a permission."""
        return permission in self.permissions


@dataclass(frozen=True, slots=True)
class Session:
    """What a login opened; it stands on the password that was right then."""

    session_id: str
    account_id: str
    password_version: int


T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Found(Generic[T]):
    """What is kept, if anything; authority: the position that must be folded before judging it."""

    what: T | None
    authority: int


def of_session(state: State, session: Session, expires_at: datetime) -> Principal | None:
    """Return the account of a session, None when it is gone or has another password."""
    account = state.find("account", session.account_id)
    if account is None or account.data["password"]["version"] != session.password_version:
        return None
    role: Role = account.data["role"]
    return Principal(
        name=account.data["name"],
        permissions=allowed(role),
        kind="account",
        id=session.account_id,
        role=role,
        session=session.session_id,
        expires_at=expires_at,
    )


def of_key(state: State, key_id: str, now: datetime) -> Principal | None:
    """Return the principal of an API key, None when it was revoked or has expired.

    It may never do more than whoever made it may now: a demotion revokes such keys, but one can be
    made through another gateway in that very moment.
    """
    key = state.find("key", key_id)
    if key is None:
        return None
    ends = key.data.get("expires_at")
    expires_at = datetime.fromisoformat(ends) if ends else None
    if expires_at is not None and expires_at <= now:
        return None
    role: Role = key.data["role"]
    return Principal(
        name=key.data["name"],
        permissions=allowed(role, key.data.get("permissions")) & _of_maker(state, key),
        kind="key",
        id=key_id,
        role=role,
        expires_at=expires_at,
    )


def _of_maker(state: State, key: Entity) -> frozenset[Permission]:
    made_by = key.data.get("created_by")
    if made_by is None:
        return frozenset(Permission)
    maker = state.find("account", made_by)
    return frozenset() if maker is None else allowed(maker.data["role"])
