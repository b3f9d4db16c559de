"""What policies try for a model: a free GPU, or another's; and what is kept when neither works."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING

from contracts.types import Alternative
from services.scheduler.state.plan import BEST_LOSERS
from services.scheduler.state.victims import Victims

if TYPE_CHECKING:
    from collections.abc import Iterable

    from contracts.envelope import Cause
    from services.scheduler.state.entities import Instance, Model
    from services.scheduler.state.plan import Numbers, Plan
    from services.scheduler.state.room import Spot


class Attempts:
    """Starts and replacements of one policy in one pass, each with the reason it carries."""

    def __init__(self, plan: Plan, *, idle_s: float, stale_s: float, retry_base_s: float) -> None:
        self.plan, self.retry_base_s = plan, retry_base_s
        self.victims = Victims(plan, idle_s, stale_s)

    def start(
        self,
        model: Model,
        code: str,
        numbers: Numbers,
        cause: Cause | None,
        *,
        may_replace: bool = True,
    ) -> bool:
        """Start a model on a free GPU; False when it can have none now, which is then noted.

        cause: the event that made the policy want it. may_replace: whether the policy would stop
        another's instance for this; else none came close to it.
        """
        plan, victims = self.plan, self.victims if may_replace else None
        if plan.full:
            return True  # the next pass follows at once and looks at it again
        if (wait_s := plan.retry_in_s(model, self.retry_base_s)) > 0:
            numbers = {**numbers, **self._failures(model, wait_s)}
            plan.lacks(model, "backing_off", numbers, victims, cause)
            return False
        spots = plan.spots(model, self.retry_base_s)
        if not spots:
            code = plan.why_nowhere(model)
            if code == "backing_off":
                wait_s = self._retry_there_in_s(model)
                numbers = {**numbers, **self._failures(model, wait_s)}
            plan.lacks(model, code, numbers, victims, cause)
            return False
        reason = plan.reason(code, numbers, _others(spots), plan.ruled_out(model))
        plan.start(model, spots, reason, cause=cause)
        return True

    def replace(self, model: Model, code: str, numbers: Numbers, *, surplus_only: bool) -> None:
        """Stop another's idle instance for a model that found no free GPU, and note it for both.

        A model that has an instance out of reach, or that keeps failing, stops nobody else's.
        """
        plan = self.plan
        shortfall = plan.shortfalls[model.model_id]
        cause = shortfall.cause
        if shortfall.code != "no_free_gpu":
            return
        if model.counts["unreachable"]:
            self._lacks(model, "instance_unreachable", numbers, cause)
            return
        if not plan.may_replace(model, self.retry_base_s):
            numbers = {**numbers, **self._failures(model, 0.0)}
            self._lacks(model, "start_failing", numbers, cause)
            return
        victim = self.victims.find(model, surplus_only=surplus_only)
        if victim is not None:
            self._replace(model, victim, code, numbers)

    def _replace(self, taker: Model, victim: Instance, code: str, numbers: Numbers) -> None:
        plan = self.plan
        loser = plan.state.models[victim.model_id]
        why: Numbers = {
            **numbers,
            "quiet_s": loser.samples.quiet_s(plan.now_s),
            "idle_s": self.victims.idle_s,
            "taker": taker.model_id,
            "because": code,
        }
        losers = islice(self.victims.losers(taker), BEST_LOSERS + 1)
        others = [each for each in losers if each.subject != f"instance/{victim.instance_id}"]
        reason = plan.reason("replaced", why, others, plan.ruled_out(taker))
        cause = plan.shortfalls[taker.model_id].cause
        plan.stop(victim, reason, replaced_by=taker, cause=cause)
        waiting: Numbers = {"instance_id": victim.instance_id, "model_id": loser.model_id}
        self._lacks(taker, "replacement_pending", {**numbers, **waiting}, cause)
        self._lacks(loser, "replaced", why, cause)

    def hold(self, models: Iterable[Model]) -> None:
        """Keep GPUs back in this pass for floors that are not met yet, whatever delays them."""
        for model in models:
            missing = model.floor - self.plan.live(model)
            missing -= self.plan.in_flight(model) == "replacement_pending"
            for _ in range(missing):
                spots = self.plan.spots(model)
                if not spots:
                    break
                self.plan.room.take(spots[0].gpu)

    def _lacks(self, model: Model, code: str, numbers: Numbers, cause: Cause | None) -> None:
        self.plan.lacks(model, code, numbers, self.victims, cause)

    def _failures(self, model: Model, wait_s: float) -> Numbers:
        count = model.failures.count if model.failures else 0
        return {"failures": count, "retry_in_s": wait_s, "error": model.last_error}

    def _retry_there_in_s(self, model: Model) -> float:
        """Return when the first of the nodes it failed on may be tried again (s)."""
        nodes = [self.plan.state.nodes[node_id] for node_id in model.failures_at]
        waits = [self.plan.retry_there_in_s(model, node, self.retry_base_s) for node in nodes]
        return min((wait for wait in waits if wait > 0), default=0.0)


def _others(spots: list[Spot]) -> list[Alternative]:
    """Return the places that lost against the first one, and by what."""
    best = spots[0]
    return [
        Alternative(
            subject=f"node/{spot.node.node_id}",
            code="serves_it_already" if spot.demerits > best.demerits else "ranked_lower",
            numbers={"free_gpus": spot.free, "demerits": spot.demerits},
        )
        for spot in spots[1 : BEST_LOSERS + 1]
    ]
