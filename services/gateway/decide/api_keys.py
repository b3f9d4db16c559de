"""API keys: made for programs, narrowed, expiring, revoked."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Final

from contracts.envelope import Draft
from contracts.events.account import KeyCreated, KeyRevoked
from contracts.roles import PERMISSIONS, Grant, Permission, Role, allowed
from services.gateway.decide import actors
from services.gateway.decide.plain import Plain
from services.gateway.decide.verdicts import (
    CREATED,
    Decision,
    Denial,
    Given,
    SecretWanted,
    Verdict,
    unknown,
)
from services.gateway.state import stream_of

if TYPE_CHECKING:
    from services.gateway.decide.principals import Principal
    from services.gateway.state import Entity, State

KIND: Final = "key"
PURPOSE = "coming in as a program"
PREFIX = "key."


def secret_of_key(key_id: str) -> str:
    """Return where a key's digest is kept."""
    return f"{PREFIX}{key_id}"


def refused_to_make(
    asker: Principal, role: Role, permissions: tuple[Grant, ...] | None
) -> str | None:
    """Return why somebody may not make such a key, or None when they may."""
    if asker.kind == "key":
        return "an API key makes no other keys: log in for that"
    excess = allowed(role, permissions) - asker.permissions
    return f"nobody gives away what they may not do: {min(excess)}" if excess else None


def is_for(asker: Principal, key_id: str, key: Entity) -> bool:
    """Return whether somebody may see and revoke a key: its maker, itself, an admin."""
    is_maker = asker.kind == "account" and key.data.get("created_by") == asker.id
    is_itself = asker.kind == "key" and key_id == asker.id
    return is_maker or is_itself or asker.may(Permission.ADMIN)


@dataclass(frozen=True)
class CreateKey:
    """POST /keys; by: the account that asks, None for the installation's own token."""

    name: str
    role: Role
    permissions: tuple[Grant, ...] | None
    expires_at: datetime | None
    by: str | None

    def touches(self, state: State) -> tuple[str, ...]:
        """Return the name's stream, and its maker's: a closed account makes none."""
        del state
        maker = (stream_of("account", self.by),) if self.by else ()
        return (actors.actor_stream(self.name), *maker)

    def secret_wanted(self, given: Given) -> SecretWanted | None:
        """Return the digest's place."""
        return SecretWanted(secret_of_key(_new_id(given)), PURPOSE, ())

    def decide(self, state: State, given: Given) -> Verdict:
        """Claim the name, make the key."""
        id_ = _new_id(given)
        excess = [p for p in self.permissions or () if p not in PERMISSIONS[self.role]]
        if excess:
            detail = f"the role {self.role} has no permission {excess[0]}"
            return Denial("refused", detail, "permissions")
        claimed = actors.claim(state, self.name, id_, "name")
        if isinstance(claimed, Denial):
            return claimed
        event = KeyCreated(
            key_id=id_,
            name=self.name,
            role=self.role,
            permissions=self.permissions,
            expires_at=self.expires_at,
            created_by=self.by,
        )
        created = Draft(stream_of(KIND, id_), event, expected_version=0)
        return Decision((*claimed, created), CREATED, shows=(KIND, id_))


@dataclass(frozen=True)
class RevokeKey(Plain):
    """DELETE /keys/{id}."""

    key_id: str

    def touches(self, state: State) -> tuple[str, ...]:
        """Return the key's stream."""
        del state
        return (stream_of(KIND, self.key_id),)

    def decide(self, state: State, given: Given) -> Verdict:
        """Revoke it, free its name, and let its digest be forgotten."""
        del given
        if state.find(KIND, self.key_id) is None:
            return unknown(KIND, self.key_id)
        return Decision(
            revoked(state, self.key_id),
            answer={"id": self.key_id, "revoked": True},
            forgets=(secret_of_key(self.key_id),),
        )


def made_by(state: State, account_id: str) -> list[tuple[str, Entity]]:
    """Return the keys that an account made, oldest first."""
    keys = state.entities[KIND].items()
    return sorted((id_, key) for id_, key in keys if key.data.get("created_by") == account_id)


def revoked(state: State, key_id: str) -> tuple[Draft, ...]:
    """Return the drafts that revoke a key and free its name."""
    stream = stream_of(KIND, key_id)
    gone = Draft(stream, KeyRevoked(key_id=key_id), expected_version=state.version_of(stream))
    return (gone, *actors.release(state, state.entities[KIND][key_id].data["name"]))


def _new_id(given: Given) -> str:
    return f"key-{given.fresh}"
