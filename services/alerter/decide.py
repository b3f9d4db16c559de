"""Which alerts to raise and to resolve, which messages to send now, and what a sending is worth."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from contracts.envelope import Cause, Draft
from contracts.events.alert import (
    AlertDelivered,
    AlertDeliveryFailed,
    AlertRaised,
    AlertResolved,
)
from contracts.http.webhook import AlertMessage
from services.alerter.policies import (
    fleet_silence,
    gpu_quarantined,
    model_floor,
    node_offline,
    queue_growth,
    queue_unreachable,
)
from services.alerter.state import GONE, Condition, Limits, Pending, State

Rule = Callable[[State, datetime, Limits], list[Condition]]

RULES: tuple[Rule, ...] = (
    fleet_silence.conditions,
    gpu_quarantined.conditions,
    model_floor.conditions,
    node_offline.conditions,
    queue_growth.conditions,
    queue_unreachable.conditions,
)

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


def alerts(state: State, now: datetime, limits: Limits) -> list[tuple[Draft, ...]]:
    """Return what raises each new condition, then what resolves each that is over."""
    found = {
        (condition.rule, condition.subject): condition
        for rule in RULES
        for condition in rule(state, now, limits)
    }
    raised = [_raise(found[key]) for key in sorted(found) if key not in state.open]
    resolved = [
        _resolve(state.open[key]).because(_over_by(state, *key))
        for key in sorted(state.open)
        if key not in found
    ]
    return [(draft,) for draft in (*raised, *resolved)]


def _over_by(state: State, rule: str, subject: str) -> Cause | None:
    """Return what ended a condition: an event that says so, or the queue's newest sample."""
    sampled = state.sampled_by.get(subject) if rule == queue_growth.RULE else None
    return state.over_by.get((rule, subject), sampled)


def _raise(condition: Condition) -> Draft:
    alert_id = f"{condition.rule}:{condition.subject}:{condition.position}"
    event = AlertRaised(
        alert_id=alert_id,
        rule=condition.rule,
        subject=condition.subject,
        severity=condition.severity,
        summary=condition.summary,
        evidence=dict(condition.evidence),
    )
    return Draft(f"alert/{alert_id}", event, expected_version=0).because(condition.cause)


def _resolve(known: AlertRaised) -> Draft:
    event = AlertResolved(alert_id=known.alert_id, rule=known.rule, subject=known.subject)
    return Draft(f"alert/{known.alert_id}", event)


def due(
    state: State, now: datetime, retries_s: Sequence[float], sending: Collection[tuple[str, str]]
) -> list[Pending]:
    """Return the messages to send now, oldest first.

    Of one alert and one webhook only the oldest: that it is over is not told before that it began.
    sending: the messages under way.
    """
    first: dict[tuple[str, str], Pending] = {}
    for pending in state.outbox.values():
        first.setdefault((pending.alert_id, pending.webhook_id), pending)
    return [
        pending
        for pending in first.values()
        if pending.key not in sending and now >= _due_at(pending, retries_s)
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
        )
        return (Draft(stream, delivered).because(pending.cause),)
    failed = AlertDeliveryFailed(
        message_id=pending.message_id,
        alert_id=pending.alert_id,
        webhook_id=pending.webhook_id,
        attempt=attempt,
        error=(sent.error or f"status {sent.status_code}")[:MAX_ERROR],
        gives_up=attempt > len(retries_s) or sent.status_code == GONE,
        status_code=sent.status_code,
    )
    return (Draft(stream, failed).because(pending.cause),)


def message(pending: Pending) -> AlertMessage:
    """Return what the webhook is sent: the same at every attempt."""
    return AlertMessage(
        id=pending.message_id,
        type=pending.type,
        subject=pending.subject,
        time=pending.at,
        data=dict(pending.data),
    )


def cry(type_: str, holder: str, number: int, now: datetime) -> AlertMessage:
    """Return what webhooks are told when the log is silent, or speaks again: it is in no log."""
    event: dict[str, str] = {
        "alert_id": f"log_silent:{holder}:{number}",
        "rule": "log_silent",
        "subject": "log",
    }
    if type_ == AlertRaised.type:
        event |= {
            "severity": "critical",
            "summary": "neither the journal nor the broker is heard: nothing is decided now",
        }
    identity = f"{event['alert_id']}:{type_}"
    return AlertMessage(id=identity, type=type_, subject="log", time=now, data=event)
