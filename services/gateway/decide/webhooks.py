"""Webhooks: where alerts go besides, and what their messages are signed with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from contracts.envelope import Draft
from contracts.events.alert import (
    WebhookDeleted,
    WebhookKind,
    WebhookRegistered,
    WebhookResendAsked,
    WebhookTestAsked,
)
from contracts.events.control import SecretRotated
from services.gateway.decide.plain import Plain
from services.gateway.decide.verdicts import (
    CREATED,
    TAKEN_ON,
    Decision,
    Denial,
    Given,
    SecretWanted,
    Verdict,
    unknown,
)
from services.gateway.state import stream_of

if TYPE_CHECKING:
    from contracts.http.webhooks import SentMessage
    from contracts.types import SecretRef
    from services.gateway.state import State, Subject

KIND: Final = "webhook"
READERS = ("alerter",)
PURPOSE = "signing messages to a webhook"


@dataclass(frozen=True)
class RegisterWebhook:
    """POST /webhooks; a standard one with a secret, so that its receiver can tell who speaks."""

    url: str
    kind: WebhookKind = "standard"
    has_secret: bool = True

    def touches(self, state: State) -> tuple[str, ...]:
        """Return nothing: it stands on nothing."""
        del state
        return ()

    def secret_wanted(self, given: Given) -> SecretWanted | None:
        """Return the secret's place."""
        return _secret(f"whk-{given.fresh}") if self.has_secret else None

    def decide(self, state: State, given: Given) -> Verdict:
        """Register it with its secret."""
        del state
        id_ = f"whk-{given.fresh}"
        event = WebhookRegistered(webhook_id=id_, url=self.url, secret=given.secret, kind=self.kind)
        registered = Draft(stream_of(KIND, id_), event, expected_version=0)
        drafts = (*_rotated(given.secret), registered)
        return Decision(drafts, CREATED, shows=(KIND, id_))


@dataclass(frozen=True)
class ChangeWebhook:
    """PUT or PATCH /webhooks/{id}: another address, a new secret, or both.

    of_kind: the only kind that has such a secret; sent_as: the field that asked for it.
    """

    webhook_id: str
    url: str | None
    has_new_secret: bool
    of_kind: WebhookKind | None = None
    sent_as: str = "secret"

    def touches(self, state: State) -> tuple[str, ...]:
        """Return the webhook's stream."""
        del state
        return (stream_of(KIND, self.webhook_id),)

    def secret_wanted(self, given: Given) -> SecretWanted | None:
        """Return the signing secret's place, if there is a new one."""
        del given
        return _secret(self.webhook_id) if self.has_new_secret else None

    def decide(self, state: State, given: Given) -> Verdict:
        """Register it again as it is to be."""
        known = state.find(KIND, self.webhook_id)
        if known is None:
            return unknown(KIND, self.webhook_id)
        if self.of_kind not in (None, known.data.get("kind", "standard")):
            return Denial("refused", f"it is no {self.of_kind} webhook", self.sent_as)
        shown: Subject = (KIND, self.webhook_id)
        changes = {"url": self.url or known.data["url"]}
        secret = given.secret.model_dump() if given.secret else known.data.get("secret")
        changed = {**known.data, **changes, "secret": secret}
        if changed == known.data:
            return Decision((), shows=shown)
        stream = stream_of(*shown)
        event = WebhookRegistered.model_validate(changed)
        updated = Draft(stream, event, expected_version=state.version_of(stream))
        return Decision((*_rotated(given.secret), updated), shows=shown)


@dataclass(frozen=True)
class DeleteWebhook(Plain):
    """DELETE /webhooks/{id}."""

    webhook_id: str

    def touches(self, state: State) -> tuple[str, ...]:
        """Return the webhook's stream."""
        del state
        return (stream_of(KIND, self.webhook_id),)

    def decide(self, state: State, given: Given) -> Verdict:
        """Delete it and let its secret be forgotten."""
        del given
        known = state.find(KIND, self.webhook_id)
        if known is None:
            return unknown(KIND, self.webhook_id)
        stream = stream_of(KIND, self.webhook_id)
        event = WebhookDeleted(webhook_id=self.webhook_id)
        deleted = Draft(stream, event, expected_version=state.version_of(stream))
        secret = known.data.get("secret")
        return Decision(
            (deleted,),
            answer={"id": self.webhook_id, "deleted": True},
            forgets=(secret["secret_id"],) if secret else (),
        )


@dataclass(frozen=True)
class TestWebhook(Plain):
    """POST /webhooks/{id}/test: a message that means nothing, to see whether it arrives."""

    webhook_id: str
    __test__ = False  # it is no test of ours

    def touches(self, state: State) -> tuple[str, ...]:
        """Return the webhook's stream."""
        del state
        return (stream_of(KIND, self.webhook_id),)

    def decide(self, state: State, given: Given) -> Verdict:
        """Ask for the message; under the id in the answer its delivery is told."""
        if state.find(KIND, self.webhook_id) is None:
            return unknown(KIND, self.webhook_id)
        message_id = f"test-{given.fresh}"
        event = WebhookTestAsked(webhook_id=self.webhook_id, message_id=message_id)
        asked = Draft(_asked(self.webhook_id), event)
        answer = {"webhook_id": self.webhook_id, "message_id": message_id}
        return Decision((asked,), TAKEN_ON, answer=answer)


@dataclass(frozen=True)
class ResendMessage(Plain):
    """POST /webhooks/{id}/deliveries/{message_id}/resend: as it was, with the same id.

    sent: the message as the delivery log has it.
    """

    webhook_id: str
    sent: SentMessage

    def touches(self, state: State) -> tuple[str, ...]:
        """Return the webhook's stream."""
        del state
        return (stream_of(KIND, self.webhook_id),)

    def decide(self, state: State, given: Given) -> Verdict:
        """Ask for it again, where that means something."""
        del given
        known = state.find(KIND, self.webhook_id)
        if known is None:
            return unknown(KIND, self.webhook_id)
        if known.data.get("kind") == "alertmanager":
            detail = "an Alertmanager is told again of all that is open, and of nothing else"
            return Denial("refused", detail, "webhook_id")
        sent = self.sent
        if sent.message_type == "alert.test":
            return Denial("refused", "a test is not repeated: ask for a new one", "message_id")
        event = WebhookResendAsked(webhook_id=self.webhook_id, **sent.model_dump())
        answer = {"webhook_id": self.webhook_id, "message_id": sent.message_id}
        return Decision((Draft(_asked(self.webhook_id), event),), TAKEN_ON, answer=answer)


def _asked(webhook_id: str) -> str:
    """Return the stream of what is asked of a webhook, which changes nothing about it."""
    return f"webhook-asked/{webhook_id}"


def _secret(webhook_id: str) -> SecretWanted:
    return SecretWanted(f"{webhook_id}.signing", PURPOSE, READERS)


def _rotated(secret: SecretRef | None) -> tuple[Draft, ...]:
    if secret is None:
        return ()
    event = SecretRotated(secret_id=secret.secret_id, version=secret.version, purpose=PURPOSE)
    return (Draft(f"secret/{secret.secret_id}", event),)
