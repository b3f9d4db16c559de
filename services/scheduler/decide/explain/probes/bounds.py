"""Probes of a model's bounds: what if it had to, or might, have other numbers of instances."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from contracts.http.explain import Change
from services.scheduler.decide.explain import changes

if TYPE_CHECKING:
    from collections.abc import Callable

    from contracts.http.explain import Counterfactual
    from services.scheduler.decide.explain.case import Case
    from services.scheduler.decide.explain.search import Make, Steps
    from services.scheduler.state import State
    from services.scheduler.state.entities import Model

    Told = Steps[list[Counterfactual]]


MOST_INSTANCES = 64


def more_instances(case: Case, model: Model) -> Told:
    """Try a higher maximum, and a higher floor: the smallest that does it."""
    if model.failures is not None:  # whoever changes a model has its failures forgotten, too
        return []
    bounds = partial(changes.bounds_of, case.state, case.now, model.model_id)
    most = max(model.max_instances, model.live) + MOST_INSTANCES
    found = []
    tries = [("max_instances", model.max_instances, most, case.view.plan.live(model) + 1)]
    if model.min_instances < model.max_instances:
        tries.append(("min_instances", model.min_instances, model.max_instances, model.live + 1))
    for field, today, high, hint in tries:
        done = yield from case.smallest(_by(bounds, field), today, high, hint)
        if done is not None:
            change = Change(
                subject=f"model/{model.model_id}", field=field, today=today, needed=done[0]
            )
            condition = f"{field} of {model.name} were {done[0]} rather than {today}"
            found.append(case.tell(field, condition, change, done[1]))
    return found


def _by(bounds: Callable[..., State], field: str) -> Make:
    return lambda value: bounds(**{field: value})


def fewer_instances(case: Case, model: Model) -> Told:
    """Try a maximum that is one lower than what it has."""
    low = model.live - 1
    if low < 1 or model.failures is not None:
        return []
    state = changes.bounds_of(case.state, case.now, model.model_id, max_instances=low)
    effect = yield from case.happens(state)
    if effect is None:
        return []
    today = model.max_instances
    change = Change(
        subject=f"model/{model.model_id}", field="max_instances", today=today, needed=low
    )
    condition = f"max_instances of {model.name} were {low} rather than {today}"
    return [case.tell("max_instances", condition, change, effect)]
