"""Phases 5 and 6: why models have less than they should or want, told when it changes."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING

from contracts.events.model import ModelDeferred, ModelFloorMet, ModelFloorUnmet
from services.scheduler.state.demand import NO_LONGER_WANTED
from services.scheduler.state.plan import BEST_LOSERS, Shortfall

if TYPE_CHECKING:
    from contracts.envelope import Cause
    from contracts.types import Reason
    from services.scheduler.state.entities import Model
    from services.scheduler.state.plan import Plan

MAX_FACTS = 64  # in one pass; the next one follows at once


def tell_floors(plan: Plan) -> None:
    """Record floors that became unmet, are unmet for another reason now, or are met again."""
    told = 0
    idle_code = code_without_strategy(plan)
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
            plan.proposals.append((plan.on_floor(model, met, _met_by(model)),))
            told += 1


def code_without_strategy(plan: Plan) -> str:
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
        model_id=model.model_id,
        instances=live,
        floor=model.floor,
        reason=reason_of(plan, model, why),
    )
    plan.proposals.append((plan.on_floor(model, unmet, why.cause or model.short_by),))
    return True


def _met_by(model: Model) -> Cause | None:
    """Return what gave a model its floor: the last start, or a floor that was lowered after it."""
    served, defined = model.served_by, model.defined_by
    if served is None or (defined is not None and defined.position > served.position):
        return defined
    return served


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
            deferred = ModelDeferred(model_id=model.model_id, reason=reason_of(plan, model, why))
            cause = why.cause or model.samples.last or model.defined_by
            plan.proposals.append((plan.on_floor(model, deferred, cause),))
            told += 1


def reason_of(plan: Plan, model: Model, why: Shortfall) -> Reason:
    """Return a shortfall as it is told: with who lost, and what was ruled out."""
    losers = islice(why.victims.losers(model), BEST_LOSERS) if why.victims else ()
    reason = plan.reason(why.code, why.numbers, tuple(losers), plan.ruled_out(model))
    return reason.model_copy(update={"strategy": why.strategy})
