"""Fold alerts, the webhooks they go to, and what people said about both."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC

from contracts.envelope import Cause, Recorded
from contracts.events import alert, control
from services.alerter.state.folded import State, fold
from services.alerter.state.values import Opened, Pending, Silence, Webhook

GONE = 410


@fold.register(alert.AlertRaised)
def _raised(event: alert.AlertRaised, state: State, recorded: Recorded) -> None:
    key = event.rule, event.subject
    opened = state.open[key] = Opened(event, recorded.recorded_at, Cause.of(recorded))
    state.closed.pop(key, None)
    state.post(event, opened, recorded)


@fold.register(alert.AlertResolved)
def _resolved(event: alert.AlertResolved, state: State, recorded: Recorded) -> None:
    key = event.rule, event.subject
    opened = state.open.pop(key, None)
    if state.over.pop(key, None) is None:
        state.closed[key] = recorded.position
    if opened is None:
        return
    untold = list(state.untold(event.alert_id, recorded.recorded_at))
    state.post(event, opened, recorded)
    for message_id, webhook_id in untold:  # whoever never heard of it need not hear it is over
        del state.outbox[message_id, webhook_id]
        state.outbox.pop((recorded.event_id, webhook_id), None)


@fold.register(alert.AlertDelivered)
def _delivered(event: alert.AlertDelivered, state: State, _recorded: Recorded) -> None:
    state.outbox.pop((event.message_id, event.webhook_id), None)


@fold.register(alert.AlertDeliveryFailed)
def _not_delivered(event: alert.AlertDeliveryFailed, state: State, recorded: Recorded) -> None:
    key = event.message_id, event.webhook_id
    pending = state.outbox.get(key)
    if event.status_code == GONE:
        state.disconnect(event.webhook_id)
    elif event.gives_up:
        state.outbox.pop(key, None)
    elif pending is not None:
        state.outbox[key] = replace(pending, failures=event.attempt, failed_at=recorded.recorded_at)


@fold.register(alert.WebhookRegistered)
def _connected(event: alert.WebhookRegistered, state: State, _recorded: Recorded) -> None:
    state.webhooks[event.webhook_id] = Webhook(event.url, event.secret, event.kind)


@fold.register(alert.WebhookDeleted)
def _disconnected(event: alert.WebhookDeleted, state: State, _recorded: Recorded) -> None:
    state.disconnect(event.webhook_id)


@fold.register(alert.WebhookTestAsked)
def _test_asked(event: alert.WebhookTestAsked, state: State, recorded: Recorded) -> None:
    if event.webhook_id in state.webhooks:
        pending = Pending(
            message_id=event.message_id,
            cause=Cause.of(recorded),
            webhook_id=event.webhook_id,
            alert_id=f"test:{event.message_id}",
            subject=event.webhook_id,
            type="alert.test",
            at=recorded.recorded_at,
            data=recorded.data,
        )
        state.outbox[pending.key] = pending


@fold.register(alert.WebhookResendAsked)
def _resend_asked(event: alert.WebhookResendAsked, state: State, recorded: Recorded) -> None:
    """Send it as it was, from the beginning; one that is still being tried goes at once."""
    if event.webhook_id not in state.webhooks:
        return
    pending = Pending(
        message_id=event.message_id,
        cause=Cause.of(recorded),
        webhook_id=event.webhook_id,
        alert_id=event.alert_id,
        subject=event.subject,
        type=event.message_type,
        at=event.at.astimezone(UTC),
        data=event.data,
    )
    state.outbox[pending.key] = pending


@fold.register(alert.AlertRuleConfigured)
def _configured(event: alert.AlertRuleConfigured, state: State, _recorded: Recorded) -> None:
    state.rules[event.rule] = event


@fold.register(alert.SilenceBegun)
def _silenced(event: alert.SilenceBegun, state: State, recorded: Recorded) -> None:
    past = [id_ for id_, each in state.silences.items() if each.until <= recorded.recorded_at]
    for id_ in past:
        del state.silences[id_]
    state.silences[event.silence_id] = Silence(
        event.until.astimezone(UTC), event.rule, event.subject
    )


@fold.register(alert.SilenceLifted)
def _lifted(event: alert.SilenceLifted, state: State, _recorded: Recorded) -> None:
    state.silences.pop(event.silence_id, None)


@fold.register(control.LeaseAcquired)
def _led(event: control.LeaseAcquired, state: State, _recorded: Recorded) -> None:
    if event.name == "alerter":
        state.leader = event.holder
