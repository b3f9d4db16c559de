"""Accounts, tokens and API keys as people send and see them; what is secret is never shown."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AliasChoices, BaseModel, ConfigDict, Field, SecretStr, StringConstraints

from contracts.http.gateway import Body
from contracts.roles import Grant, Role
from contracts.types import Moment

SHORTEST_PASSWORD, LONGEST_PASSWORD = 12, 256
LONGEST_NAME, LONGEST_TOKEN = 64, 200
DAYS = 3650

ActorName = Annotated[
    str,
    StringConstraints(
        strip_whitespace=True,
        pattern=r"^[A-Za-z0-9][A-Za-z0-9._@+-]{1,63}$",
        max_length=LONGEST_NAME,
    ),
]
NewSecret = Annotated[SecretStr, Field(min_length=SHORTEST_PASSWORD, max_length=LONGEST_PASSWORD)]
KnownSecret = Annotated[SecretStr, Field(max_length=LONGEST_PASSWORD)]


class Registration(Body):
    """POST /auth/register; `email` is what some clients call the name."""

    username: ActorName = Field(
        validation_alias=AliasChoices("username", "email"),
        description="The name of the account; it stands in the log as who did what, for ever.",
    )
    password: NewSecret
    role: Role | None = Field(
        default=None,
        description="Only an admin chooses it; left out, the first account that the installation's"
        " own token registers is an admin and everybody else a viewer.",
    )


class Credentials(BaseModel):
    """POST /auth/jwt/login, as a form or as JSON; other fields of OAuth 2 are not looked at."""

    model_config = ConfigDict(frozen=True, hide_input_in_errors=True)

    username: Annotated[str, Field(max_length=LONGEST_PASSWORD)]
    password: KnownSecret
    grant_type: Literal["password", ""] = "password"


class RefreshToken(BaseModel):
    """POST /auth/jwt/refresh, as a form or as JSON."""

    model_config = ConfigDict(frozen=True, hide_input_in_errors=True)

    refresh_token: Annotated[SecretStr, Field(max_length=LONGEST_TOKEN)]


class OwnPassword(Body):
    """POST /auth/password: a new password for who asks; it ends all of their sessions."""

    current_password: KnownSecret
    password: NewSecret


class NewPassword(Body):
    """PUT /accounts/{id}/password: what an admin gives somebody who forgot theirs."""

    password: NewSecret


class NewRole(Body):
    """PUT /accounts/{id}/role."""

    role: Role


class NewKey(Body):
    """POST /keys; the key itself is in this answer and in no other."""

    name: ActorName
    role: Role = "viewer"
    permissions: Annotated[tuple[Grant, ...], Field(min_length=1, max_length=4)] | None = Field(
        default=None, description="Narrows the key to these of its role's permissions."
    )
    expires_in_days: Annotated[int, Field(ge=1, le=DAYS)] | None = Field(
        default=365, description="When it ends by itself; null for a key that never does."
    )


class TokenAnswer(BaseModel):
    """What a login or a refresh gives; a refresh token is good for one refresh."""

    access_token: str
    token_type: Literal["bearer"] = "bearer"  # noqa: S105 (the kind of a token)
    expires_in: int
    refresh_token: str | None = None


class Me(BaseModel):
    """GET /auth/me: who asks, as we know them."""

    kind: Literal["bootstrap", "account", "key"]
    id: str | None
    username: str
    role: Role
    permissions: tuple[str, ...]
    expires_at: Moment | None = None


class AccountView(BaseModel):
    """An account."""

    id: str
    username: str
    role: Role
    created_at: Moment
    updated_at: Moment
    version: int
