"""Which messages to send now, what they look like, and what a sending is worth."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from contracts.envelope import Draft
from contracts.events.alert import (
    AlertDelivered,
    AlertDeliveryFailed,
    AlertRaised,
    MessageType,
    WebhookKind,
)
from contracts.http.webhook import AlertMessage
from services.alerter.decide import alertmanager
from services.alerter.state import GONE, Opened, Pending, State, Webhook

# Source: the example schedule of the Standard Webhooks specification.
RETRIES_S = (5.0, 300.0, 1800.0, 7200.0, 18_000.0, 36_000.0)
MAX_ERROR = 1000
SUCCESS = range(200, 300)


@dataclass(frozen=True, slots=True)
class Sent:
    """How a webhook took a message: its status code, or what kept it from answering."""

    status_code: int | None = None
    error: str = ""

    @property
    def ok(self) -> bool:
        """Whether the webhook took it."""
        return not self.error and self.status_code in SUCCESS


@dataclass(frozen=True, slots=True)
class Letter:
    """A message as it leaves: to where, with which bytes, of which kind."""

    url: str
    id: str
    body: bytes
    kind: WebhookKind = "standard"


def due(
    state: State, now: datetime, retries_s: Sequence[float], sending: Collection[tuple[str, str]]
) -> list[Pending]:
    """Return the messages to send now, oldest first.

    Of one alert and one webhook only the oldest: that it is over is not told before that it began.
    What a silence covers is held back. sending: the messages under way.
    """
    first: dict[tuple[str, str], Pending] = {}
    for pending in state.outbox.values():
        first.setdefault((pending.alert_id, pending.webhook_id), pending)
    return [
        pending
        for pending in first.values()
        if pending.key not in sending
        and now >= _due_at(pending, retries_s)
        and not state.is_silenced(pending.of, now)
    ]


def _due_at(pending: Pending, retries_s: Sequence[float]) -> datetime:
    if pending.failed_at is None:
        return pending.at
    wait_s = retries_s[min(pending.failures, len(retries_s)) - 1]
    return pending.failed_at + timedelta(seconds=wait_s)


def settled(pending: Pending, sent: Sent, retries_s: Sequence[float]) -> tuple[Draft, ...]:
    """Return what an attempt is recorded as: delivered, failed, or failed for the last time."""
    stream, attempt = f"alert/{pending.alert_id}", pending.failures + 1
    if sent.ok:
        delivered = AlertDelivered(
            message_id=pending.message_id,
            alert_id=pending.alert_id,
            webhook_id=pending.webhook_id,
            attempt=attempt,
            status_code=sent.status_code or 0,
            message_type=pending.type,
        )
        return (Draft(stream, delivered).because(pending.cause),)
    failed = AlertDeliveryFailed(
        message_id=pending.message_id,
        alert_id=pending.alert_id,
        webhook_id=pending.webhook_id,
        attempt=attempt,
        error=(sent.error or f"status {sent.status_code}")[:MAX_ERROR],
        gives_up=_gives_up(pending, attempt, sent, retries_s),
        status_code=sent.status_code,
        message_type=pending.type,
    )
    return (Draft(stream, failed).because(pending.cause),)


def _gives_up(pending: Pending, attempt: int, sent: Sent, retries_s: Sequence[float]) -> bool:
    """Return whether that was the last attempt; whoever tests a webhook waits for its answer."""
    is_test = pending.type == "alert.test"
    return is_test or attempt > len(retries_s) or sent.status_code == GONE


def letter(webhook: Webhook, pending: Pending, now: datetime, believed_s: float) -> Letter:
    """Return a message as a webhook of its kind takes it.

    believed_s: how long an Alertmanager believes that an alert is open.
    """
    if webhook.kind == "alertmanager":
        told = alertmanager.told(pending, now + timedelta(seconds=believed_s))
        url, body = alertmanager.address(webhook.url), alertmanager.written([told])
        return Letter(url, pending.message_id, body, webhook.kind)
    return Letter(webhook.url, pending.message_id, message(pending).model_dump_json().encode())


def message(pending: Pending) -> AlertMessage:
    """Return what the webhook is sent: the same at every attempt."""
    return AlertMessage(
        id=pending.message_id,
        type=pending.type,
        subject=pending.subject,
        time=pending.at,
        data=dict(pending.data),
    )


def reminder(state: State, webhook_id: str, now: datetime, believed_s: float) -> Letter | None:
    """Return all that is open for an Alertmanager, which forgets what it is not told again.

    Without what a silence covers, and what is on its way there; None when nothing is left.
    """
    webhook = state.webhooks.get(webhook_id)
    if webhook is None or webhook.kind != "alertmanager":
        return None
    waiting = {each.alert_id for each in state.outbox.values() if each.webhook_id == webhook_id}
    until = now + timedelta(seconds=believed_s)
    open_now = [
        alertmanager.of_alert(opened, until)
        for key, opened in sorted(state.open.items())
        if opened.event.alert_id not in waiting and not state.is_silenced(key, now)
    ]
    if not open_now:
        return None
    url, body = alertmanager.address(webhook.url), alertmanager.written(open_now)
    return Letter(url, f"reminder:{webhook_id}", body, webhook.kind)


@dataclass(frozen=True, slots=True)
class Cry:
    """That the log is silent, which is in no log: which silence of whom, and when it was told."""

    holder: str
    number: int
    at: datetime

    def message(self, type_: MessageType, now: datetime) -> AlertMessage:
        """Return what webhooks are told."""
        event = {"alert_id": self._alert_id, "rule": "log_silent", "subject": "log"}
        if type_ == AlertRaised.type:
            event |= {"severity": "critical", "summary": _SILENT}
        identity = f"{self._alert_id}:{type_}"
        return AlertMessage(id=identity, type=type_, subject="log", time=now, data=event)

    def letter(
        self, webhook: Webhook, type_: MessageType, now: datetime, believed_s: float
    ) -> Letter:
        """Return the same as a webhook of its kind takes it."""
        message = self.message(type_, now)
        if webhook.kind != "alertmanager":
            return Letter(webhook.url, message.id, message.model_dump_json().encode())
        event = AlertRaised(
            alert_id=self._alert_id,
            rule="log_silent",
            subject="log",
            severity="critical",
            summary=_SILENT,
        )
        lasts_s = believed_s if type_ == AlertRaised.type else 0.0
        told = alertmanager.of_alert(Opened(event, self.at), now + timedelta(seconds=lasts_s))
        url, body = alertmanager.address(webhook.url), alertmanager.written([told])
        return Letter(url, message.id, body, webhook.kind)

    @property
    def _alert_id(self) -> str:
        return f"log_silent:{self.holder}:{self.number}"


_SILENT = "neither the journal nor the broker is heard: nothing is decided now"
