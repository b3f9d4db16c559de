"""Webhooks: where alerts go, and how the last message fared."""

from contracts.envelope import Recorded
from contracts.events.alert import (
    AlertDelivered,
    AlertDeliveryFailed,
    WebhookDeleted,
    WebhookRegistered,
)
from services.projector.state import Projection, Row, by, gone, moment


def _registered(_row: Row | None, event: Recorded) -> Row:
    data = event.data
    return {
        "webhook_id": data["webhook_id"],
        "url": data["url"],
        "kind": data.get("kind", "standard"),
        "has_secret": data.get("secret") is not None,
        "created_at": moment(event.recorded_at),
        "last_delivery_at": None,
        "last_status_code": None,
        "last_error": None,
        "version": event.version,
    }


def _delivered(row: Row | None, event: Recorded) -> Row | None:
    if row is None:
        return None
    at, status = moment(event.recorded_at), event.data["status_code"]
    return {**row, "last_delivery_at": at, "last_status_code": status, "last_error": None}


def _delivery_failed(row: Row | None, event: Recorded) -> Row | None:
    return {**row, "last_error": event.data["error"]} if row else None


WEBHOOKS = Projection(
    name="webhooks",
    spread=by("webhook_id"),
    on={
        WebhookRegistered: _registered,
        WebhookDeleted: gone,
        AlertDelivered: _delivered,
        AlertDeliveryFailed: _delivery_failed,
    },
)
