"""Alert when a queue has grown abnormally: far longer now than in the time before."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta
from statistics import fmean

from services.alerter.state import Condition, View

RULE = "queue_growth"
EASED = 0.75  # of the limits it must fall below to be over, so that it does not come and go


def conditions(view: View) -> list[Condition]:
    """Return a condition for each queue that grows abnormally.

    The mean length (messages) of the recent window is more than so many times the mean of the
    window before it, and more than so many messages. Without a sample in both nothing is known:
    what was, still is.
    """
    return [condition for model_id in view.state.samples for condition in _judge(view, model_id)]


def _judge(view: View, model_id: str) -> list[Condition]:
    state, limits = view.state, view.limits
    recent_from = view.now - timedelta(seconds=limits.growth_recent_s)
    before_from = recent_from - timedelta(seconds=limits.growth_before_s)
    samples = state.samples[model_id]
    recent = _mean(length for at, length in samples if at > recent_from)
    before = _mean(length for at, length in samples if before_from < at <= recent_from)
    if recent is None or before is None:
        return view.as_it_was(RULE, model_id)
    ease = EASED if (RULE, model_id) in state.open else 1.0
    factor, messages = state.limit(RULE, "factor"), state.limit(RULE, "messages")
    if recent <= ease * factor * before or recent <= ease * messages:
        return []
    return [
        Condition(
            RULE,
            model_id,
            "warning",
            f"the queue of model {state.models.get(model_id, model_id)} grew from a mean of"
            f" {before:.1f} to {recent:.1f} messages",
            state.position,
            {"model": state.models.get(model_id), "recent_mean": recent, "before_mean": before},
            state.sampled_by.get(model_id),
        )
    ]


def _mean(lengths: Iterable[int]) -> float | None:
    values = list(lengths)
    return fmean(values) if values else None
