"""Alerts as an Alertmanager takes them: `POST /api/v2/alerts`, told again while they are open.

An alert is the same as long as its labels are, so labels say what it is about and nothing that
changes. Until `endsAt` it is believed to be open: whoever is silent for longer has no alerts.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from pydantic import TypeAdapter

from contracts.http.alerts import PostableAlert
from services.alerter.state import Opened, Pending

PATH = "/api/v2/alerts"
SERVICE = "quartermaster"
_ALERTS = TypeAdapter(list[PostableAlert])


def address(url: str) -> str:
    """Return where an Alertmanager takes alerts."""
    base, _, query = url.partition("?")
    place = f"{base.rstrip('/')}{PATH}"
    return f"{place}?{query}" if query else place


def written(alerts: Sequence[PostableAlert]) -> bytes:
    """Return alerts as a request's body."""
    return _ALERTS.dump_json(list(alerts))


def of_alert(opened: Opened, ends_at: datetime) -> PostableAlert:
    """Return an alert that began once and lasts until then, unless it is told again."""
    event = opened.event
    labels = {
        "alertname": event.rule,
        "service": SERVICE,
        "severity": event.severity,
        "subject": event.subject,
    }
    evidence = {name: str(value) for name, value in event.evidence.items() if value is not None}
    annotations = {**evidence, "summary": event.summary, "alert_id": event.alert_id}
    return PostableAlert(
        labels=labels, annotations=annotations, startsAt=opened.at, endsAt=max(ends_at, opened.at)
    )


def told(pending: Pending, until: datetime) -> PostableAlert:
    """Return what a message says: it is open, it is over, or it is a test, which is over soon."""
    if pending.about is None:
        labels = {"alertname": "test", "service": SERVICE, "severity": "info"}
        return PostableAlert(
            labels={**labels, "subject": pending.subject},
            annotations={"summary": "a test: nothing is wrong"},
            startsAt=pending.at,
            endsAt=until,
        )
    return of_alert(pending.about, pending.at if pending.type == "alert.resolved" else until)
