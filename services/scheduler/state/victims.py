"""Whose instance may be stopped for another model, and why the others may not."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from contracts.types import Alternative
from services.scheduler.state.fleet import HELD

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from services.scheduler.state.entities import Instance, Model
    from services.scheduler.state.plan import Numbers, Plan

LOOK_AT = 256  # instances that are looked at to say which came closest


def why_not_idle(
    model: Model, now_s: float, idle_s: float, stale_s: float
) -> tuple[str, Numbers] | None:
    """Return why a model does not count as idle, or None when it does.

    Idle: it is known, without a hole, that nothing was asked of it for `idle_s`.
    """
    age_s = model.samples.age_s(now_s)
    if model.queue_problem is not None:
        return "queue_unreachable", {"problem": model.queue_problem}
    if age_s is None:
        return "samples_missing", {}
    if age_s > stale_s:
        return "samples_stale", {"age_s": age_s, "stale_s": stale_s}
    quiet_s = model.samples.quiet_s(now_s)
    if quiet_s < idle_s:
        return "not_idle", {"quiet_s": quiet_s, "idle_s": idle_s}
    return None


@dataclass
class Victims:
    """Idle models in the order in which they lose instances, under one pair of limits."""

    plan: Plan
    idle_s: float
    stale_s: float
    none_for: dict[tuple[bool, tuple[tuple[str, ...], ...]], None] = field(default_factory=dict)
    _idle: list[Model] | None = None
    _having: list[Model] | None = None

    def find(self, taker: Model, *, surplus_only: bool) -> Instance | None:
        """Return the instance to stop for `taker`, or None.

        Instances above their model's floor go first, then the longest quiet, then model id; of a
        model the newest instance. Nothing is stopped while our own network is suspected.
        """
        if self.plan.state.silence_since_s is not None:
            return None
        support = tuple(p.supported for p in self.plan.state.pools.supporting(taker.name))
        if (surplus_only, support) in self.none_for:
            return None
        for model in self._ranked():
            if surplus_only and model.live <= model.floor:
                break
            if model is taker or self.plan.in_flight(model):
                continue
            for instance in self._replaceable(model, taker):
                return instance
        self.none_for[surplus_only, support] = None
        return None

    def losers(self, taker: Model) -> Iterator[Alternative]:
        """Yield the instances that came closest to making room, and why they did not.

        In the order in which they would go, of a model the newest.
        """
        if self._having is None:
            having = [m for m in self.plan.state.models.values() if m.counts["ready"]]
            self._having = sorted(having, key=self._rank)
        others = (model for model in self._having if model is not taker)
        for model, instance in self._on_fit_nodes(others, taker):
            code, numbers = self._why_not(model, instance)
            yield Alternative(
                subject=f"instance/{instance.instance_id}",
                code=code,
                numbers={**numbers, "model_id": model.model_id},
            )

    def _ranked(self) -> list[Model]:
        if self._idle is None:
            now_s = self.plan.now_s
            self._idle = sorted(
                (
                    model
                    for model in self.plan.state.models.values()
                    if model.counts["ready"]
                    and why_not_idle(model, now_s, self.idle_s, self.stale_s) is None
                ),
                key=self._rank,
            )
        return self._idle

    def _rank(self, model: Model) -> tuple[bool, float, str]:
        return model.live <= model.floor, -model.samples.quiet_s(self.plan.now_s), model.model_id

    def _replaceable(self, model: Model, taker: Model) -> Iterator[Instance]:
        state = self.plan.state
        for instance_id in reversed(model.instances):
            instance = state.instances[instance_id]
            if instance.kind != "ready" or instance.pinned:
                continue
            fits = state.nodes[instance.node_id].supports(taker.name)
            if fits and state.gpus[instance.gpu_uuid].cause == HELD:
                yield instance

    def _on_fit_nodes(
        self, models: Iterable[Model], taker: Model
    ) -> Iterator[tuple[Model, Instance]]:
        """Yield one ready instance a model that is where `taker` could be, of the first LOOK_AT."""
        state, looked_at = self.plan.state, 0
        for model in models:
            for instance_id in reversed(model.instances):
                looked_at += 1
                instance = state.instances[instance_id]
                if instance.kind == "ready" and state.nodes[instance.node_id].supports(taker.name):
                    yield model, instance
                    break
            if looked_at >= LOOK_AT:
                return

    def _why_not(self, model: Model, instance: Instance) -> tuple[str, Numbers]:
        if self.plan.state.silence_since_s is not None:
            return "fleet_silence_suspected", {}
        if instance.pinned:
            return "pinned", {}
        if action := self.plan.in_flight(model):
            return "in_flight", {"action": action}
        cause = self.plan.state.gpus[instance.gpu_uuid].cause
        if cause != HELD:
            return "gpu_unusable", {"cause": cause}
        why = why_not_idle(model, self.plan.now_s, self.idle_s, self.stale_s)
        return why or ("kept_by_its_floor", {"floor": model.floor})
