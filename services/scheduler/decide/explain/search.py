"""Asking the same `decide` again with one thing different, and finding the smallest difference."""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from contracts.events.instance import InstanceStartRequested, InstanceStopRequested
from contracts.http.explain import Effect
from services.scheduler.decide import deliberate

if TYPE_CHECKING:
    from datetime import datetime

    from contracts.envelope import Event
    from services.scheduler.state import State
    from services.scheduler.state.plan import Plan

T = TypeVar("T")
# What takes a while is done in steps: whoever drives it may do other things between two of them.
Steps = Generator[None, None, T]
Make = Callable[[int], "State"]

EPOCH = 0  # nothing that is tried is ever proposed


class Exhausted(Exception):
    """As much was tried as one question is worth."""


@dataclass(frozen=True, slots=True)
class Goal:
    """What is looked for in a plan.

    starts: an instance of this model starts, is made room for, or serves again (on this GPU, or
    this node, where one is named). stops: this instance is stopped, or any of this model.
    """

    model_id: str | None = None
    gpu_uuid: str | None = None
    node_id: str | None = None
    stops: bool = False
    instance_id: str | None = None
    live: int | None = None

    def effect(self, plan: Plan) -> Effect | None:
        """Return what the plan does towards the goal, or None."""
        for drafts in plan.proposals:
            for draft in drafts:
                if (found := self._effect(draft.event)) is not None:
                    return found
        return self._serves_again(plan)

    def _effect(self, event: Event) -> Effect | None:
        if isinstance(event, InstanceStopRequested) and self.stops:
            wanted = self.model_id in (None, event.model_id) and self.instance_id in (
                None,
                event.instance_id,
            )
            return _effect("stops", event) if wanted else None
        if self.stops or self.instance_id is not None:
            return None
        if isinstance(event, InstanceStartRequested) and self._is_here(event):
            wanted = self.model_id in (None, event.model_id)
            return _effect("starts", event) if wanted else None
        if isinstance(event, InstanceStopRequested) and self._is_here(event):
            wanted = event.replaced_by is not None and self.model_id in (None, event.replaced_by)
            return _effect("makes_room", event) if wanted else None
        return None

    def _is_here(self, event: InstanceStartRequested | InstanceStopRequested) -> bool:
        return self.gpu_uuid in (None, event.gpu_uuid) and self.node_id in (None, event.node_id)

    def _serves_again(self, plan: Plan) -> Effect | None:
        if self.live is None or self.model_id is None:
            return None
        model = plan.state.models.get(self.model_id)
        if model is None or model.live <= self.live:
            return None
        return Effect(code="serves_again", model_id=self.model_id)


def _effect(code: str, event: InstanceStartRequested | InstanceStopRequested) -> Effect:
    model_id = event.model_id
    if code == "makes_room" and isinstance(event, InstanceStopRequested):
        model_id = event.replaced_by or model_id
    is_known = isinstance(event, InstanceStopRequested)
    return Effect.model_validate(
        {
            "code": code,
            "model_id": model_id,
            "instance_id": event.instance_id if is_known else None,
            "node_id": event.node_id,
            "gpu_uuid": event.gpu_uuid,
        }
    )


class WhatIf:
    """Decides on changed states, so many times and no more."""

    def __init__(self, now: datetime, runs: int) -> None:
        self.now, self.tried, self._runs = now, 0, runs

    def happens(
        self, goal: Goal, state: State, now: datetime | None = None
    ) -> Steps[Effect | None]:
        """Return what a changed state leads to; raises Exhausted."""
        if self.tried >= self._runs:
            raise Exhausted
        self.tried += 1
        effect = goal.effect(deliberate(state, now or self.now, EPOCH))
        yield
        return effect

    def smallest(
        self, goal: Goal, make: Make, low: int, high: int, hint: int | None = None
    ) -> Steps[tuple[int, Effect] | None]:
        """Return the smallest number above `low` that does it, or None when `high` does not.

        The number does it and the one below does not: both were decided. hint: a guess.
        """
        found, is_below_known = None, False
        if hint is not None and low < hint <= high:
            found = yield from self.happens(goal, make(hint))
            low, high = (low, hint) if found else (hint, high)
            is_below_known = found is None
        # A right guess needs no more than a look at the one below.
        middle = high - 1 if found else (low + high) // 2
        if found is None and (found := (yield from self.happens(goal, make(high)))) is None:
            return None
        while high - low > 1:
            effect = yield from self.happens(goal, make(middle))
            if effect is None:
                low, is_below_known = middle, True
            else:
                high, found = middle, effect
            middle = (low + high) // 2
        if not is_below_known and (yield from self.happens(goal, make(low))) is not None:
            return None  # so low a number is no change at all
        return high, found
