"""Alerts: what should wake someone, and whether it reached them."""

from pydantic import Field

from contracts.envelope import Event
from contracts.types import AlertId, Count, Id, Name, Scalar, SecretRef, Severity, Text, WebhookId


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


class WebhookRegistered(Event):
    """Alerts go to this address too."""

    type = "webhook.registered"
    webhook_id: WebhookId
    url: Name
    secret: SecretRef | None = None


class WebhookDeleted(Event):
    """Alerts no longer go to this address."""

    type = "webhook.deleted"
    webhook_id: WebhookId
