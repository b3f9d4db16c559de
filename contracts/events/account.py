"""Accounts and API keys: who there is and what they may do; of what proves them, only a version."""

from contracts.envelope import Event
from contracts.roles import Grant, Role
from contracts.types import Id, Moment, Name, SecretRef


class AccountRegistered(Event):
    """Somebody may come in; their name is the actor of what they cause, for ever."""

    type = "account.registered"
    account_id: Id
    name: Name
    role: Role
    password: SecretRef


class AccountRoleChanged(Event):
    """An account has this role now."""

    type = "account.role_changed"
    account_id: Id
    role: Role


class AccountPasswordChanged(Event):
    """An account is proved by this version of its password now; who was in is out."""

    type = "account.password_changed"
    account_id: Id
    password: SecretRef


class AccountClosed(Event):
    """An account is gone; its name stays taken, so that it never means somebody else."""

    type = "account.closed"
    account_id: Id


class KeyCreated(Event):
    """A program may come in with an API key; its name is the actor of what it causes.

    permissions: the part of the role's that it was narrowed to, if it was.
    created_by: the account that made it; None for the installation's own token.
    """

    type = "key.created"
    key_id: Id
    name: Name
    role: Role
    permissions: tuple[Grant, ...] | None = None
    expires_at: Moment | None = None
    created_by: Id | None = None


class KeyRevoked(Event):
    """An API key opens nothing any more."""

    type = "key.revoked"
    key_id: Id
