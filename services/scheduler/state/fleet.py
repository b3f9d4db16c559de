"""The fleet in memory, and the few changes that keep its indexes true."""

from __future__ import annotations

from bisect import bisect_left, insort
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from contracts.envelope import Cause
from services.scheduler.state.entities import (
    FORGET_S,
    STABLE_S,
    Ask,
    Failures,
    Gpu,
    Instance,
    Model,
    Node,
    Strategy,
)
from services.scheduler.state.memory import Memory
from services.scheduler.state.pools import Pools

if TYPE_CHECKING:
    from contracts.events.gpu import FreedBecause
    from services.scheduler.state.entities import Kind, Phase

FREE = "free"
HELD = "held"
DEFAULT_STRATEGY = Strategy("default", "default", "busy_queue_scaling", {}, 0, active=True)
SUSPECT_REPORTS = 2


@dataclass
class Fleet:
    """Everything decisions stand on. Dictionaries keep the log's order; there are no sets.

    changes: grows with every event that can change a decision. leaving: instances that must go,
    and why. ended: instances whose death is confirmed and whose GPU is not free yet. suspects:
    GPUs whose quarantine begins or ends.
    """

    position: int = 0
    at_s: float = 0.0
    changes: int = 0
    models: dict[str, Model] = field(default_factory=dict)
    nodes: dict[str, Node] = field(default_factory=dict)
    gpus: dict[str, Gpu] = field(default_factory=dict)
    instances: dict[str, Instance] = field(default_factory=dict)
    ended: dict[str, None] = field(default_factory=dict)
    leaving: dict[str, str] = field(default_factory=dict)
    suspects: dict[str, None] = field(default_factory=dict)
    asks: dict[str, Ask] = field(default_factory=dict)
    stop_asks: dict[str, Cause] = field(default_factory=dict)
    strategies: dict[str, Strategy] = field(default_factory=dict)
    strategy_ever_created: bool = False
    floor_versions: dict[str, int] = field(default_factory=dict)
    silence_since_s: float | None = None
    pools: Pools = field(default_factory=Pools)
    memory: Memory = field(default_factory=Memory)

    def ordered_strategies(self) -> list[Strategy]:
        """Return the active strategies in stored order (order, then creation)."""
        if not self.strategy_ever_created:
            return [DEFAULT_STRATEGY]
        active = [each for each in self.strategies.values() if each.active]
        return sorted(active, key=lambda strategy: strategy.order)

    def node(self, node_id: str) -> Node:
        """Return a node, known or from now on known."""
        return self.nodes.setdefault(node_id, Node(node_id))

    def gpu(self, uuid: str, node_id: str) -> Gpu:
        """Return a GPU, known or from now on known."""
        return self.gpus.setdefault(uuid, Gpu(uuid, node_id, 0))

    # A GPU is free, or there is one cause why not; pools count the causes.

    def cause_of(self, gpu: Gpu, node: Node) -> str:
        """Return why a GPU may not be given away now, or FREE: the first of these that holds."""
        causes = (
            ("node_offline", not node.reachable),
            ("node_silent", self.is_silent(node)),
            ("not_offered", gpu.index not in node.offered),
            ("quarantined", gpu.quarantined),
            ("foreign_process", bool(gpu.foreign)),
            ("not_reported", gpu.seen_boot is None or gpu.seen_boot != node.boot_id),
            (HELD, gpu.held_by is not None),
        )
        return next((cause for cause, holds in causes if holds), FREE)

    def is_silent(self, node: Node) -> bool:
        """Return whether a node has not answered since our own network was suspected."""
        return self.silence_since_s is not None and node.answered_s <= self.silence_since_s

    def reclassify(self, gpu: Gpu) -> None:
        """Bring a GPU's cause, and all that is indexed by it, up to date."""
        node = self.nodes[gpu.node_id]
        cause = self.cause_of(gpu, node) if gpu.present and not node.deleted else None
        self._suspect(gpu, node)
        if cause == gpu.cause:
            return
        self.pools.count(node, gpu.cause, -1)
        self.pools.count(node, cause, +1)
        before, place = len(node.free), (gpu.index, gpu.uuid)
        if gpu.cause == FREE:
            del node.free[bisect_left(node.free, place)]
        if cause == FREE:
            insort(node.free, place)
        gpu.cause = cause
        self.pools.move(node, before, len(node.free))

    def reclassify_node(self, node: Node) -> None:
        """Bring all of a node's GPUs up to date."""
        for uuid in node.gpus:
            self.reclassify(self.gpus[uuid])

    def _suspect(self, gpu: Gpu, node: Node) -> None:
        begins = (
            not gpu.quarantined
            and gpu.held_by is None
            and gpu.foreign_reports >= SUSPECT_REPORTS
            and gpu.index in node.offered
        )
        if gpu.present and (begins or (gpu.quarantined and not gpu.foreign)):
            self.suspects[gpu.uuid] = None
        else:
            self.suspects.pop(gpu.uuid, None)

    def remove_gpu(self, gpu: Gpu) -> None:
        """Take a GPU out of its node; what is known of it besides stays known."""
        gpu.present = False
        self.reclassify(gpu)
        self.nodes[gpu.node_id].gpus.pop(gpu.uuid, None)

    # An instance counts for its model under one kind.

    def kind_of(self, instance: Instance) -> Kind | None:
        """Return how an instance counts, or None when it has ended."""
        if instance.ended is not None:
            return None
        node = self.node(instance.node_id)
        if node.deleted:
            return "abandoned"
        return instance.phase if node.reachable else "unreachable"

    def recount(self, instance: Instance) -> None:
        """Bring an instance's kind, and its model's counts, up to date."""
        kind = self.kind_of(instance)
        model = self.models.get(instance.model_id)
        if model is not None and instance.instance_id in model.instances:
            if instance.kind is not None:
                model.counts[instance.kind] -= 1
            if kind is not None:
                model.counts[kind] += 1
        instance.kind = kind

    def recount_node(self, node: Node) -> None:
        """Bring all of a node's instances up to date."""
        for instance_id in node.instances:
            self.recount(self.instances[instance_id])

    def add(self, instance: Instance, cause: Cause) -> None:
        """Take in a requested instance; without its model or its node it must leave again."""
        self.instances[instance.instance_id] = instance
        node = self.node(instance.node_id)
        node.instances[instance.instance_id] = None
        model = self.models.get(instance.model_id)
        if model is None:
            self.leave(instance.instance_id, "model_deleted", cause)
        else:
            model.instances[instance.instance_id] = None
            model.waits_for_gpu = model.deferred = None
            if node.deleted:
                self.leave(instance.instance_id, "node_deleted", cause)
        self.recount(instance)

    def leave(self, instance_id: str, code: str, cause: Cause) -> None:
        """Take note that an instance must go, why, and by what."""
        self.leaving[instance_id] = code
        self.instances[instance_id].leaving_by = cause

    def shorten(self, model_id: str, cause: Cause) -> None:
        """Take note of what took an instance from a model."""
        if (model := self.models.get(model_id)) is not None:
            model.short_by = cause

    def turn(self, instance: Instance, phase: Phase) -> None:
        """Move an instance to another phase."""
        instance.phase = phase
        self.recount(instance)

    def end(self, instance: Instance, because: FreedBecause, cause: Cause) -> None:
        """Take note of a confirmed death; the GPU stays held until it is recorded as freed."""
        instance.ended, instance.ended_by = because, cause
        self.recount(instance)
        self.ended[instance.instance_id] = None
        self.leaving.pop(instance.instance_id, None)
        self.stop_asks.pop(instance.instance_id, None)
        self.shorten(instance.model_id, cause)
        model = self.models.get(instance.model_id)
        if model is not None:
            model.instances.pop(instance.instance_id, None)

    def bury(self, instance_id: str) -> None:
        """Forget an ended instance whose GPU is free."""
        if instance_id not in self.ended:
            return
        del self.ended[instance_id]
        instance = self.instances.pop(instance_id)
        node = self.node(instance.node_id)
        del node.instances[instance_id]
        taker = self.models.get(instance.replaced_by or "")
        if taker is not None and taker.waits_for_gpu == instance.gpu_uuid:
            taker.waits_for_gpu = None

    def blame(self, instance: Instance, error: str) -> None:
        """Count a failure of a model's start or of its young instance, there and overall."""
        model = self.models.get(instance.model_id)
        if model is None:
            return
        model.last_error = error
        in_a_row = not self.has_served_since_failing(model, STABLE_S)
        model.failures = self._once_more(model.failures if in_a_row else None)
        model.failures_at = {
            node_id: failures
            for node_id, failures in model.failures_at.items()
            if self.at_s - failures.last_s <= FORGET_S
        }
        here = self._once_more(model.failures_at.get(instance.node_id))
        model.failures_at[instance.node_id] = here

    def has_served_since_failing(self, model: Model, for_s: float = 0.0) -> bool:
        """Return whether an instance became ready after the last failure, and has been so long."""
        if model.failures is None:
            return False
        last_s, ready_by = model.failures.last_s, self.at_s - for_s
        began = (self.instances[instance_id].ready_s for instance_id in model.instances)
        return any(ready_s is not None and last_s < ready_s <= ready_by for ready_s in began)

    def _once_more(self, failures: Failures | None) -> Failures:
        if failures is None or self.at_s - failures.last_s > FORGET_S:
            return Failures(1, self.at_s)
        return Failures(failures.count + 1, self.at_s)
