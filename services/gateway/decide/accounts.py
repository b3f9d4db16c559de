"""Accounts: registered, given roles and passwords, closed; no key may do more than its maker."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from contracts.envelope import Draft
from contracts.events.account import (
    AccountClosed,
    AccountPasswordChanged,
    AccountRegistered,
    AccountRoleChanged,
)
from contracts.roles import Role, allowed
from services.gateway.decide import actors
from services.gateway.decide.api_keys import made_by, revoked, secret_of_key
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
    from services.gateway.state import Entity, State

KIND: Final = "account"
PURPOSE = "logging in"
_PREFIX = "account."


def secret_of(account_id: str) -> str:
    """Return where an account's password digest is kept."""
    return f"{_PREFIX}{account_id}"


def refused_to_register(*, by_admin: bool, is_open: bool, role: Role | None) -> str | None:
    """Return why somebody may not register this account, or None when they may."""
    if by_admin:
        return None
    if not is_open:
        return "registration is closed here: an admin registers accounts"
    return None if role in {None, "viewer"} else "only an admin chooses a role"


@dataclass(frozen=True)
class Register:
    """POST /auth/register; by_bootstrap: with the installation's own token."""

    name: str
    role: Role | None
    by_bootstrap: bool = False

    def touches(self, state: State) -> tuple[str, ...]:
        """Return the name's stream."""
        del state
        return (actors.actor_stream(self.name),)

    def secret_wanted(self, given: Given) -> SecretWanted | None:
        """Return the password digest's place."""
        return SecretWanted(secret_of(_new_id(given)), PURPOSE, ())

    def decide(self, state: State, given: Given) -> Verdict:
        """Claim the name, register the account; the installation's token makes the first admin."""
        id_ = _new_id(given)
        claimed = actors.claim(state, self.name, id_, "username")
        if isinstance(claimed, Denial):
            return claimed
        is_first = self.by_bootstrap and not state.entities[KIND]
        role: Role = self.role or ("admin" if is_first else "viewer")
        if given.secret is None:
            return Decision((), CREATED)  # a rehearsal: nothing is kept for what is refused
        event = AccountRegistered(account_id=id_, name=self.name, role=role, password=given.secret)
        registered = Draft(stream_of(KIND, id_), event, expected_version=0)
        return Decision((*claimed, registered), CREATED, shows=(KIND, id_))


@dataclass(frozen=True)
class ChangeRole(Plain):
    """PUT /accounts/{id}/role; keys it made that may do more than it now may are revoked."""

    account_id: str
    role: Role

    def touches(self, state: State) -> tuple[str, ...]:
        """Return the account's stream and those of the keys it made."""
        return _with_keys(state, self.account_id)

    def decide(self, state: State, given: Given) -> Verdict:
        """Change the role, and what hangs on it."""
        del given
        known = state.find(KIND, self.account_id)
        if known is None:
            return unknown(KIND, self.account_id)
        if known.data["role"] == self.role:
            return Decision((), shows=(KIND, self.account_id))
        now_may = allowed(self.role)
        too_much = [
            key_id
            for key_id, key in made_by(state, self.account_id)
            if not allowed(key.data["role"], key.data.get("permissions")) <= now_may
        ]
        event = AccountRoleChanged(account_id=self.account_id, role=self.role)
        drafts = (_on(state, self.account_id, event), *_all_revoked(state, too_much))
        return Decision(
            drafts, shows=(KIND, self.account_id), forgets=tuple(map(secret_of_key, too_much))
        )


@dataclass(frozen=True)
class ChangePassword:
    """POST /auth/password, or PUT /accounts/{id}/password; above: the version that counts now."""

    account_id: str
    above: int = 0

    def touches(self, state: State) -> tuple[str, ...]:
        """Return the account's stream."""
        del state
        return (stream_of(KIND, self.account_id),)

    def secret_wanted(self, given: Given) -> SecretWanted | None:
        """Return the new digest's place."""
        del given
        return SecretWanted(secret_of(self.account_id), PURPOSE, (), self.above)

    def decide(self, state: State, given: Given) -> Verdict:
        """Say which version counts from here on; sessions stand on theirs, and end."""
        if state.find(KIND, self.account_id) is None:
            return unknown(KIND, self.account_id)
        if given.secret is None:
            return Decision(())  # a rehearsal
        if given.secret.version <= password_version(state, self.account_id):
            # Whose digest is the older one loses: it is erased as soon as a later one counts.
            return Denial("conflict", "the password was changed meanwhile", "password")
        event = AccountPasswordChanged(account_id=self.account_id, password=given.secret)
        return Decision((_on(state, self.account_id, event),), shows=(KIND, self.account_id))


@dataclass(frozen=True)
class CloseAccount(Plain):
    """DELETE /accounts/{id}; the keys it made go with it."""

    account_id: str

    def touches(self, state: State) -> tuple[str, ...]:
        """Return the account's stream and those of the keys it made."""
        return _with_keys(state, self.account_id)

    def decide(self, state: State, given: Given) -> Verdict:
        """Close it, revoke its keys, and let what proved them be forgotten."""
        del given
        if state.find(KIND, self.account_id) is None:
            return unknown(KIND, self.account_id)
        keys = [key_id for key_id, _ in made_by(state, self.account_id)]
        closed = _on(state, self.account_id, AccountClosed(account_id=self.account_id))
        return Decision(
            (closed, *_all_revoked(state, keys)),
            answer={"id": self.account_id, "closed": True, "keys_revoked": keys},
            forgets=(secret_of(self.account_id), *map(secret_of_key, keys)),
        )


def named(state: State, name: str) -> tuple[str, Entity] | None:
    """Return the open account of a name with its id, however it is written."""
    account_id = state.owners.get(actors.actor_stream(name), "")
    account = state.find(KIND, account_id)
    return None if account is None else (account_id, account)


def password_version(state: State, account_id: str) -> int:
    """Return which version of its password an account stands on, 0 for no account."""
    account = state.find(KIND, account_id)
    return 0 if account is None else account.data["password"]["version"]


def _new_id(given: Given) -> str:
    return f"acc-{given.fresh}"


def _on(
    state: State,
    account_id: str,
    event: AccountRoleChanged | AccountPasswordChanged | AccountClosed,
) -> Draft:
    stream = stream_of(KIND, account_id)
    return Draft(stream, event, expected_version=state.version_of(stream))


def _with_keys(state: State, account_id: str) -> tuple[str, ...]:
    keys = (stream_of("key", key_id) for key_id, _ in made_by(state, account_id))
    return (stream_of(KIND, account_id), *keys)


def _all_revoked(state: State, key_ids: list[str]) -> tuple[Draft, ...]:
    return tuple(draft for key_id in key_ids for draft in revoked(state, key_id))
