"""Alert when a queue has grown abnormally: far longer now than in the time before."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from statistics import fmean

from services.alerter.state import Condition, Limits, State

RULE = "queue_growth"


def conditions(state: State, now: datetime, limits: Limits) -> list[Condition]:
    """Return a condition for each queue that grows abnormally.

    The mean length (messages) of the recent window is more than so many times the mean of the
    window before it, and more than so many messages. Without a sample in both nothing is known:
    what was, still is.
    """
    found = (_judge(state, model_id, now, limits) for model_id in state.samples)
    return [condition for condition in found if condition is not None]


def _judge(state: State, model_id: str, now: datetime, limits: Limits) -> Condition | None:
    recent_from = now - timedelta(seconds=limits.growth_recent_s)
    before_from = recent_from - timedelta(seconds=limits.growth_before_s)
    samples = state.samples[model_id]
    recent = _mean(length for at, length in samples if at > recent_from)
    before = _mean(length for at, length in samples if before_from < at <= recent_from)
    if recent is None or before is None:
        return _as_it_was(state, model_id)
    if recent <= limits.growth_factor * before or recent <= limits.growth_messages:
        return None
    return Condition(
        RULE,
        model_id,
        "warning",
        f"the queue of model {state.models.get(model_id, model_id)} grew from a mean of"
        f" {before:.1f} to {recent:.1f} messages",
        state.position,
        {"model": state.models.get(model_id), "recent_mean": recent, "before_mean": before},
        state.sampled_by.get(model_id),
    )


def _as_it_was(state: State, model_id: str) -> Condition | None:
    known = state.open.get((RULE, model_id))
    if known is None:
        return None
    return Condition(RULE, model_id, known.severity, known.summary, 0, known.evidence)


def _mean(lengths: Iterable[int]) -> float | None:
    values = list(lengths)
    return fmean(values) if values else None
