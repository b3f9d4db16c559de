"""Phases 5 and 6: why models have less than they should or want, told when it changes."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING

from contracts.events.model import ModelDeferred, ModelFloorMet, ModelFloorUnmet
from services.scheduler.state.demand import NO_LONGER_WANTED
from services.scheduler.state.plan import BEST_LOSERS, Shortfall

if TYPE_CHECKING:
    from contracts.types import Reason
    from services.scheduler.state.entities import Model
    from services.scheduler.state.plan import Plan

MAX_FACTS = 64  # in one pass; the next one follows at once


def tell_floors(plan: Plan) -> None:
    """Record floors that became unmet, are unmet for another reason now, or are met again."""
    told = 0
    idle_code = _without_strategy(plan)
    for model in plan.state.models.values():
        if told >= MAX_FACTS:
            return
        live = plan.live(model)
        if live < model.floor:
            told += _tell_unmet(plan, model, live, idle_code)
        elif model.floor_open and model.counts["ready"] >= model.floor:
            met = ModelFloorMet(
                model_id=model.model_id, instances=model.counts["ready"], floor=model.floor
            )
            plan.proposals.append((plan.on_floor(model, met),))
            told += 1


def _without_strategy(plan: Plan) -> str:
    """Return the code for a floor that no strategy spoke about."""
    strategies = plan.state.ordered_strategies()
    if not strategies:
        return "no_active_strategy"
    if all(strategy.problem for strategy in strategies):
        return "strategy_unusable"
    return "not_placed"


def _tell_unmet(plan: Plan, model: Model, live: int, idle_code: str) -> bool:
    """Record why a floor is unmet, unless that is known or an instance is on its way."""
    why = plan.shortfalls.get(model.model_id)
    if why is None:
        action = plan.in_flight(model)
        if action == "starting" or (action and model.floor_open) or (plan.full and not action):
            return False
        why = Shortfall(action or idle_code)
    if model.floor_open == (why.code, live, model.floor):
        return False
    unmet = ModelFloorUnmet(
        model_id=model.model_id, instances=live, floor=model.floor, reason=_reason(plan, model, why)
    )
    plan.proposals.append((plan.on_floor(model, unmet),))
    return True


def tell_deferrals(plan: Plan) -> None:
    """Record who wants more than its floor and gets none, and who no longer does."""
    told = 0
    for model in plan.state.models.values():
        if told >= MAX_FACTS:
            return
        if plan.live(model) < model.floor or plan.in_flight(model):
            continue
        why = plan.shortfalls.get(model.model_id)
        if why is None and model.deferred is not None and not plan.full:
            why = Shortfall(NO_LONGER_WANTED)
        if why is not None and why.code != model.deferred:
            deferred = ModelDeferred(model_id=model.model_id, reason=_reason(plan, model, why))
            plan.proposals.append((plan.on_floor(model, deferred),))
            told += 1


def _reason(plan: Plan, model: Model, why: Shortfall) -> Reason:
    losers = islice(why.victims.losers(model), BEST_LOSERS) if why.victims else ()
    reason = plan.reason(why.code, why.numbers, tuple(losers), plan.ruled_out(model))
    return reason.model_copy(update={"strategy": why.strategy})
