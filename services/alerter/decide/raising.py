"""Which alerts to raise, and which to resolve once they are over for long enough."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta

from contracts import alerts as known
from contracts.envelope import Cause, Draft
from contracts.events.alert import AlertRaised, AlertResolved
from services.alerter.policies import (
    agent_lost,
    fleet_silence,
    gpu_quarantined,
    instance_stuck,
    journal_lag,
    messages_parked,
    model_floor,
    node_offline,
    projector_lag,
    queue_growth,
    queue_unreachable,
)
from services.alerter.state import Condition, Key, View

Rule = Callable[[View], list[Condition]]

RULES: Mapping[str, Rule] = {
    agent_lost.RULE: agent_lost.conditions,
    fleet_silence.RULE: fleet_silence.conditions,
    gpu_quarantined.RULE: gpu_quarantined.conditions,
    instance_stuck.RULE: instance_stuck.conditions,
    journal_lag.RULE: journal_lag.conditions,
    messages_parked.RULE: messages_parked.conditions,
    model_floor.RULE: model_floor.conditions,
    node_offline.RULE: node_offline.conditions,
    projector_lag.RULE: projector_lag.conditions,
    queue_growth.RULE: queue_growth.conditions,
    queue_unreachable.RULE: queue_unreachable.conditions,
}
# They go by what the journal answers, not by what is recorded.
MEASURED = (journal_lag.RULE, messages_parked.RULE, projector_lag.RULE)


def alerts(view: View) -> list[tuple[Draft, ...]]:
    """Return what raises each new condition, then what resolves each that is over."""
    state = view.state
    found = {
        condition.key: condition
        for name, rule in RULES.items()
        if state.is_enabled(name)
        for condition in rule(view)
    }
    raised = [
        _raise(found[key], state.closed.get(key, 0)) for key in sorted(found.keys() - state.open)
    ]
    resolved = [
        _resolve(state.open[key].event).because(_over_by(view, key))
        for key in sorted(state.open)
        if key not in found and _is_calm(view, key)
    ]
    return [(draft,) for draft in (*raised, *resolved)]


def well_since(view: View) -> dict[str, datetime]:
    """Return since when the measured rules have found nothing; as it was while nothing is known."""
    if view.lag is None:
        return dict(view.well_since)
    well = [rule for rule in MEASURED if not RULES[rule](view)]
    return {rule: view.well_since.get(rule, view.now) for rule in well}


def _is_calm(view: View, key: Key) -> bool:
    """Return whether a condition is over for so long that it does not just come and go."""
    rule, _ = key
    spec = known.RULES.get(rule)
    if spec is None or "calm_s" not in spec.limits or not view.state.is_enabled(rule):
        return True
    over = view.state.over.get(key)
    since = over.at if over else view.well_since.get(rule, view.now if rule in MEASURED else None)
    calm = timedelta(seconds=view.state.limit(rule, "calm_s") * view.limits.calm_scale)
    return since is None or view.now - since >= calm


def _over_by(view: View, key: Key) -> Cause | None:
    """Return what ended a condition: an event that says so, or the queue's newest sample.

    Where nothing that is recorded did, what began it: the alert itself.
    """
    rule, subject = key
    over = view.state.over.get(key)
    if over is not None:
        return over.cause
    sampled = view.state.sampled_by.get(subject) if rule == queue_growth.RULE else None
    return sampled or view.state.open[key].cause


def _raise(condition: Condition, closed: int) -> Draft:
    """Return a new alert. It is named by where what it tells of began, or the last one was closed.

    So whoever leads next names it the same, and the log takes it once.
    """
    since = max(condition.position, closed)
    alert_id = f"{condition.rule}:{condition.subject}:{since}"
    event = AlertRaised(
        alert_id=alert_id,
        rule=condition.rule,
        subject=condition.subject,
        severity=condition.severity,
        summary=condition.summary,
        evidence=dict(condition.evidence),
    )
    return Draft(f"alert/{alert_id}", event, expected_version=0).because(condition.cause)


def _resolve(event: AlertRaised) -> Draft:
    over = AlertResolved(alert_id=event.alert_id, rule=event.rule, subject=event.subject)
    return Draft(f"alert/{event.alert_id}", over)
