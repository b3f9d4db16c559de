"""Alerts: what is open, what was, and whom it reached."""

from contracts.envelope import Recorded
from contracts.events.alert import AlertDelivered, AlertDeliveryFailed, AlertRaised, AlertResolved
from services.projector.state import Projection, Row, by, moment


def _raised(row: Row | None, event: Recorded) -> Row:
    data = event.data
    return {
        "alert_id": data["alert_id"],
        "rule": data["rule"],
        "subject": data["subject"],
        "severity": data["severity"],
        "summary": data["summary"],
        "evidence": data.get("evidence", {}),
        "open": True,
        "raised_at": moment(event.recorded_at),
        "raised_position": event.position,
        "raised_times": row["raised_times"] + 1 if row else 1,
        "resolved_at": None,
        "deliveries": {},
        "version": event.version,
    }


def _resolved(row: Row | None, event: Recorded) -> Row | None:
    if row is None:
        return None
    resolved_at = moment(event.recorded_at)
    return {**row, "open": False, "resolved_at": resolved_at, "version": event.version}


def _delivery(row: Row | None, event: Recorded, state: str) -> Row | None:
    if row is None:
        return None
    data = event.data
    delivery = {
        "state": state,
        "attempt": data["attempt"],
        "message_id": data["message_id"],
        "status_code": data.get("status_code"),
        "error": data.get("error"),
        "at": moment(event.recorded_at),
    }
    return {**row, "deliveries": {**row["deliveries"], data["webhook_id"]: delivery}}


def _delivered(row: Row | None, event: Recorded) -> Row | None:
    return _delivery(row, event, "delivered")


def _delivery_failed(row: Row | None, event: Recorded) -> Row | None:
    return _delivery(row, event, "given_up" if event.data["gives_up"] else "failing")


ALERTS = Projection(
    name="alerts",
    spread=by("alert_id"),
    on={
        AlertRaised: _raised,
        AlertResolved: _resolved,
        AlertDelivered: _delivered,
        AlertDeliveryFailed: _delivery_failed,
    },
)
