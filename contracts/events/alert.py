"""Alerts: what should wake someone, and whether it reached them."""

from typing import Any, Literal

from pydantic import Field

from contracts.envelope import Event
from contracts.types import (
    AlertId,
    Count,
    Id,
    Moment,
    Name,
    Scalar,
    SecretRef,
    Severity,
    Text,
    WebhookId,
)

MessageType = Literal["alert.raised", "alert.resolved", "alert.test"]
WebhookKind = Literal["standard", "alertmanager"]


class AlertRaised(Event):
    """Something needs a person; raised once until it is resolved."""

    type = "alert.raised"
    alert_id: AlertId
    rule: Id
    subject: Name
    severity: Severity
    summary: Text
    evidence: dict[str, Scalar] = Field(default_factory=dict)


class AlertResolved(Event):
    """What the alert was about is over."""

    type = "alert.resolved"
    alert_id: AlertId
    rule: Id
    subject: Name


class AlertDelivered(Event):
    """A webhook took the message."""

    type = "alert.delivered"
    message_id: Name
    alert_id: AlertId
    webhook_id: WebhookId
    attempt: Count
    status_code: Count
    message_type: MessageType | None = None


class AlertDeliveryFailed(Event):
    """A webhook did not take the message at this attempt; `gives_up`: there will be no other.

    status_code: what it answered, if it did; 410 means that it wants no more of them.
    """

    type = "alert.delivery_failed"
    message_id: Name
    alert_id: AlertId
    webhook_id: WebhookId
    attempt: Count
    error: Text
    gives_up: bool
    status_code: Count | None = None
    message_type: MessageType | None = None


class WebhookRegistered(Event):
    """Alerts go to this address too.

    kind: standard gets CloudEvents signed with the secret, alertmanager its own API's alerts with
    the secret, if there is one, as a bearer token.
    """

    type = "webhook.registered"
    webhook_id: WebhookId
    url: Name
    secret: SecretRef | None = None
    kind: WebhookKind = "standard"


class WebhookDeleted(Event):
    """Alerts no longer go to this address."""

    type = "webhook.deleted"
    webhook_id: WebhookId


class WebhookTestAsked(Event):
    """Somebody wants a webhook to be sent a message that means nothing, to see that it arrives."""

    type = "webhook.test_asked"
    webhook_id: WebhookId
    message_id: Name


class WebhookResendAsked(Event):
    """Somebody wants a webhook to be sent a message again, as it was and with the same id."""

    type = "webhook.resend_asked"
    webhook_id: WebhookId
    message_id: Name
    message_type: MessageType
    alert_id: AlertId
    subject: Name
    at: Moment
    data: dict[str, Any]


class AlertRuleConfigured(Event):
    """A rule goes by these limits from here on; those not named are as they were at first."""

    type = "alert_rule.configured"
    rule: Id
    enabled: bool = True
    limits: dict[Id, float] = Field(default_factory=dict)


class SilenceBegun(Event):
    """Nobody is told of these alerts until then: of one rule, about one thing, or of both or all.

    They are raised and resolved all the same; what is still open at the end is told then.
    """

    type = "silence.begun"
    silence_id: Id
    until: Moment
    because: Text
    rule: Id | None = None
    subject: Name | None = None


class SilenceLifted(Event):
    """A silence is over before its time."""

    type = "silence.lifted"
    silence_id: Id
