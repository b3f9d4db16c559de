"""Webhooks as people send them."""

from __future__ import annotations

import base64
import binascii
from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    SecretStr,
    StringConstraints,
    model_validator,
)

from contracts.events.alert import MessageType, WebhookKind
from contracts.http.gateway import Body, Changes
from contracts.types import AlertId, Moment, Name

WebhookUrl = Annotated[
    str,
    StringConstraints(
        pattern=r"^https?://(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(:[0-9]{1,5})?(/[!-~]*)?$",
        max_length=200,
    ),
]
PREFIX = "whsec_"
SHORTEST, LONGEST = 24, 64


def _signs(secret: SecretStr) -> SecretStr:
    """Accept what Standard Webhooks signs with: whsec_ and 24 to 64 bytes in base64."""
    text = secret.get_secret_value()
    try:
        key = base64.b64decode(text.removeprefix(PREFIX), validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if not text.startswith(PREFIX) or not SHORTEST <= len(key) <= LONGEST:
        raise ValueError(f"{PREFIX} and {SHORTEST} to {LONGEST} bytes in base64 are wanted")
    return secret


SigningSecret = Annotated[SecretStr, Field(max_length=200), AfterValidator(_signs)]


def _travels(secret: SecretStr) -> SecretStr:
    """Accept what a header can carry."""
    text = secret.get_secret_value()
    if not (text.isascii() and text.isprintable()) or " " in text:
        raise ValueError("only visible ASCII characters: was something else copied with it?")
    return secret


BearerToken = Annotated[SecretStr, Field(min_length=1, max_length=2000), AfterValidator(_travels)]


class NewWebhook(Body):
    """POST /webhooks; a standard one without a secret gets one, shown in this answer only.

    kind: alertmanager is the address of an Alertmanager (its API's path is added), and takes a
    bearer token where it wants one.
    """

    url: WebhookUrl
    kind: WebhookKind = "standard"
    secret: SigningSecret | None = None
    bearer_token: BearerToken | None = None

    @model_validator(mode="after")
    def _one_way_to_be_believed(self) -> NewWebhook:
        wrong = self.bearer_token if self.kind == "standard" else self.secret
        if wrong is not None:
            raise ValueError("a standard webhook takes a secret, an alertmanager a bearer_token")
        return self


class WebhookChanges(Changes):
    """PUT or PATCH /webhooks/{id}; `rotate_secret` makes a new one and shows it once."""

    url: WebhookUrl = ""
    secret: SigningSecret | None = None
    bearer_token: BearerToken | None = None
    rotate_secret: bool = False


class SentMessage(BaseModel):
    """A message as the delivery log has it: what is sent again is this."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    message_id: Name
    message_type: MessageType
    alert_id: AlertId
    subject: Name
    at: Moment
    data: dict[str, Any]
