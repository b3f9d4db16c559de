"""Probes of rules and of time: what if other strategies decided, or a wait were over."""

from __future__ import annotations

from itertools import islice
from math import ceil
from typing import TYPE_CHECKING

from contracts.http.explain import Change
from services.scheduler.decide.explain import changes
from services.scheduler.decide.explain.case import FEW, flag
from services.scheduler.decide.explain.words import seconds

if TYPE_CHECKING:
    from contracts.http.explain import Counterfactual
    from services.scheduler.decide.explain.case import Case
    from services.scheduler.decide.explain.search import Steps
    from services.scheduler.state.entities import Model

    Told = Steps[list[Counterfactual]]


def later(case: Case, model: Model) -> Told:
    """Try the moments at which its waits after failures are over: the first that does it."""
    for after_s in islice(_waits(case, model), FEW + 1):
        then, before = (changes.later(case.now, each) for each in (after_s, after_s - 1))
        effect = yield from case.happens(case.state, then)
        if effect is None:
            continue
        if (yield from case.happens(case.state, before)) is not None:
            return []
        change = Change(
            subject=f"model/{model.model_id}", field="waits", today=0, needed=after_s, unit="s"
        )
        condition = f"{seconds(after_s)} pass and nothing else changes"
        return [case.tell("time_passes", condition, change, effect)]
    return []


def _waits(case: Case, model: Model) -> list[int]:
    """Return when it may start again, anywhere and on each node it failed on (s), in order."""
    base_s = case.view.retry_base_s
    if model.failures is None or base_s is None:
        return []
    plan, nodes = case.view.plan, case.state.nodes
    there = [plan.retry_there_in_s(model, nodes[each], base_s) for each in model.failures_at]
    return sorted({ceil(each) for each in (plan.retry_in_s(model, base_s), *there) if each > 0})


def strategies_active(case: Case, _: Model) -> Told:
    """Try each strategy that is stored and not active."""
    found = []
    idle = (each for each in case.state.strategies.values() if not each.active)
    for strategy in islice(idle, FEW):
        state = changes.strategy_active(case.state, case.now, strategy.strategy_id)
        effect = yield from case.happens(state)
        if effect is not None:
            subject = f"strategy/{strategy.strategy_id}"
            change = flag(subject, "active", needed=True)
            condition = f"the strategy {strategy.name} were active"
            found.append(case.tell("strategy_active", condition, change, effect))
    return found


def silence_over(case: Case, _: Model) -> Told:
    """Try a network that nobody suspects."""
    if case.state.silence_since_s is None:
        return []
    effect = yield from case.happens(changes.silence_over(case.state, case.now))
    if effect is None:
        return []
    change = flag("fleet/silence", "suspected", needed=False)
    condition = "enough nodes answered for our own network to be above suspicion"
    return [case.tell("silence_over", condition, change, effect)]
