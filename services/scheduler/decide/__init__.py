"""What should happen now: six phases over a state that stays as it is."""

from __future__ import annotations

from typing import TYPE_CHECKING

from contracts.policies import validate_parameters
from services.scheduler.decide.asks import answer_asks
from services.scheduler.decide.facts import tell_deferrals, tell_floors
from services.scheduler.decide.retire import retire
from services.scheduler.decide.settle import settle
from services.scheduler.policies import POLICIES
from services.scheduler.state.plan import Plan

if TYPE_CHECKING:
    from datetime import datetime

    from contracts.envelope import Draft
    from services.scheduler.state import State

__all__ = ["decide", "deliberate"]


def decide(state: State, now: datetime, epoch: int) -> list[tuple[Draft, ...]]:
    """Return proposals in order, each recorded whole or not at all; `state` is only read.

    Equal arguments give equal proposals. now: the log's time. epoch: the leader's.
    """
    return deliberate(state, now, epoch).proposals


def deliberate(state: State, now: datetime, epoch: int) -> Plan:
    """Return what is decided together with what led to it; `state` is only read."""
    plan = Plan(state, now, epoch)
    # 1. Settle: free the GPUs of the dead, begin and end quarantines.
    settle(plan)
    # 2. Retire what has lost its model, its node or its place.
    retire(plan)
    # 3. Answer what was asked for by hand.
    answer_asks(plan)
    # 4. Apply the active strategies in stored order, each on what the ones before it left.
    apply_strategies(plan)
    # 5. Tell which floors are unmet, and why, and which are met again.
    tell_floors(plan)
    # 6. Tell who else wants an instance and gets none, and why.
    tell_deferrals(plan)
    return plan


def apply_strategies(plan: Plan) -> None:
    """Let each usable active strategy add to the plan."""
    for strategy in plan.state.ordered_strategies():
        if strategy.problem is None:
            plan.strategy = strategy.name
            parameters = validate_parameters(strategy.policy, strategy.parameters)
            POLICIES[strategy.policy](plan, parameters)
    plan.strategy = None
