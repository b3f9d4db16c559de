"""What one pass has decided so far, on top of a state it never changes."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from contracts.envelope import Draft
from contracts.events.gpu import GpuAllocated
from contracts.events.instance import InstanceStartRequested, InstanceStopRequested
from contracts.types import Alternative, Launch, Reason
from services.scheduler.state.fleet import FREE
from services.scheduler.state.room import Room

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from contracts.envelope import Cause, Event
    from contracts.types import Scalar
    from services.scheduler.state.entities import Ask, Failures, Gpu, Instance, Model, Node
    from services.scheduler.state.fleet import Fleet
    from services.scheduler.state.room import Spot
    from services.scheduler.state.victims import Victims

Numbers = dict[str, "Scalar"]

MAX_STARTS = 128  # a pass is bounded; the next one follows at once
STUCK_AFTER_S = 600.0
LONGEST_RETRY_S = 300.0
REPLACE_PATIENCE = 2  # times the wait for a free GPU, up to the longest: to stop another costs more
BEST_LOSERS = 5


@dataclass(frozen=True, slots=True)
class Shortfall:
    """Why a model that wants an instance gets none in this pass, and what made it want one."""

    code: str
    numbers: Mapping[str, Scalar] = field(default_factory=dict)
    strategy: str | None = None
    victims: Victims | None = None
    cause: Cause | None = None


@dataclass
class Plan:
    """Proposals in order, and what they use up. Reading it is reading the fleet after them.

    shortfalls: by model, why it wants an instance and gets none now. replacing: models that an
    instance is being stopped for.
    """

    state: Fleet
    now: datetime
    epoch: int
    strategy: str | None = None
    proposals: list[tuple[Draft, ...]] = field(default_factory=list)
    started: dict[str, int] = field(default_factory=dict)
    starts: int = 0
    stopped: dict[str, None] = field(default_factory=dict)
    stopped_of: dict[str, int] = field(default_factory=dict)
    replacing: dict[str, None] = field(default_factory=dict)
    shortfalls: dict[str, Shortfall] = field(default_factory=dict)
    versions: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.now_s = self.now.timestamp()
        self.room = Room(self.state)

    @property
    def full(self) -> bool:
        """Return whether this pass has started as much as one pass may."""
        return self.starts >= MAX_STARTS

    # How models stand, with what this pass decided.

    def live(self, model: Model) -> int:
        """Return the instances that serve or will, where we can reach them."""
        known = model.live - self.stopped_of.get(model.model_id, 0)
        return known + self.started.get(model.model_id, 0)

    def in_flight(self, model: Model) -> str | None:
        """Return what is under way for a model, or None: one scaling action at a time."""
        if model.counts["requested"] or model.model_id in self.started:
            return "starting"
        if model.model_id in self.replacing or self._waits(model):
            return "replacement_pending"
        if model.model_id in self.stopped_of or self._stopping(model):
            return "stopping"
        return None

    def _waits(self, model: Model) -> bool:
        gpu = self.state.gpus.get(model.waits_for_gpu or "")
        holder = self.state.instances.get(gpu.held_by or "") if gpu else None
        if holder is None:
            return False
        return self.state.nodes[holder.node_id].reachable and not self._stuck(holder)

    def _stopping(self, model: Model) -> bool:
        if not model.counts["stopping"]:
            return False
        mine = (self.state.instances[instance_id] for instance_id in model.instances)
        return any(each.kind == "stopping" and not self._stuck(each) for each in mine)

    def _stuck(self, instance: Instance) -> bool:
        since_s = instance.stopping_s
        return since_s is not None and self.now_s - since_s > STUCK_AFTER_S

    # Waiting after failures: doubled each time; the first retry elsewhere is free.

    def retry_in_s(self, model: Model, base_s: float) -> float:
        """Return for how long a model may start nowhere (s); 0 when it may."""
        failures = model.failures
        if failures is None or failures.count < 2:  # noqa: PLR2004 (the second in a row)
            return 0.0
        return self._wait_s(failures, base_s, failures.count - 2)

    def retry_there_in_s(self, model: Model, node: Node, base_s: float) -> float:
        """Return for how long a model may not start on a node where it failed (s)."""
        failures = model.failures_at.get(node.node_id)
        return 0.0 if failures is None else self._wait_s(failures, base_s, failures.count - 1)

    def may_replace(self, model: Model, base_s: float) -> bool:
        """Return whether its failures are long enough ago to stop another's instance for it."""
        failures = model.failures
        if failures is None:
            return True
        wait_s = self._wait_s(failures, base_s, failures.count - 1, REPLACE_PATIENCE)
        return wait_s == 0.0

    def _wait_s(self, failures: Failures, base_s: float, doubled: int, times: int = 1) -> float:
        longest_s = max(LONGEST_RETRY_S, base_s)
        wait_s = min(base_s * 2.0 ** min(doubled, 16) * times, longest_s)
        return max(0.0, failures.last_s + wait_s - self.now_s)

    # Reasons.

    def reason(
        self,
        code: str,
        numbers: Mapping[str, Scalar],
        alternatives: Sequence[Alternative] = (),
        rejected: Mapping[str, int] | None = None,
    ) -> Reason:
        """Return a reason that says what this decision stood on."""
        return Reason(
            code=code,
            numbers=dict(numbers),
            position=self.state.position,
            now=self.now,
            strategy=self.strategy,
            alternatives=tuple(alternatives[:BEST_LOSERS]),
            rejected=dict(rejected or {}),
        )

    def ruled_out(self, model: Model) -> dict[str, int]:
        """Return how many GPUs that could serve a model were ruled out, by cause."""
        causes = self.room.causes(model.name)
        return {("taken_before" if name == FREE else name): n for name, n in causes.items()}

    # Decisions. Each appends one proposal: all of it is recorded, or nothing.

    def spots(self, model: Model, base_s: float | None = None) -> list[Spot]:
        """Return where a model can start, best first; without `base_s` failures do not matter."""

        def demerits(node: Node) -> int | None:
            if base_s is not None and self.retry_there_in_s(model, node, base_s) > 0:
                return None
            failed = node.node_id in model.failures_at
            hosts = any(
                self.state.instances[each].model_id == model.model_id for each in node.instances
            )
            return 2 * failed + hosts

        return self.room.spots(model.name, demerits)

    def start(
        self,
        model: Model,
        spots: Sequence[Spot],
        reason: Reason,
        *,
        ask: Ask | None = None,
        freed: tuple[Draft, Instance] | None = None,
        cause: Cause | None = None,
    ) -> None:
        """Start a model on the first spot: the GPU and the wish, together or not at all.

        cause: what led to it, where it is neither of the other two.
        freed: the freeing of that very GPU, and whose it was, when both are one proposal.
        """
        gpu, node = spots[0].gpu, spots[0].node
        if freed is None:
            self.room.take(gpu)
        self.starts += 1
        self.started[model.model_id] = self.started.get(model.model_id, 0) + 1
        instance_id = f"i-{self.epoch}-{self.state.position}-{self.starts}"
        allocated = GpuAllocated(
            gpu_uuid=gpu.uuid,
            node_id=node.node_id,
            instance_id=instance_id,
            model_id=model.model_id,
        )
        wanted = InstanceStartRequested(
            instance_id=instance_id,
            model_id=model.model_id,
            model_name=model.name,
            node_id=node.node_id,
            gpu_uuid=gpu.uuid,
            gpu_index=gpu.index,
            boot_id=node.boot_id or "",
            launch=_launch(model, ask),
            queue=model.queue,
            on_lost_control=model.on_lost_control,
            pinned=ask is not None,
            ask_id=ask.ask_id if ask else None,
            replaces=freed[1].instance_id if freed else None,
            epoch=self.epoch,
            reason=reason,
        )
        cause = ask.asked_by if ask else freed[1].ended_by if freed else cause
        self.proposals.append(
            (
                *((freed[0],) if freed else ()),
                self.on_gpu(gpu, allocated, cause),
                Draft(f"instance/{instance_id}", wanted, 0).because(cause),
            )
        )

    def stop(
        self,
        instance: Instance,
        reason: Reason,
        *,
        replaced_by: Model | None = None,
        cause: Cause | None = None,
    ) -> None:
        """Stop an instance; its GPU stays held until its death is confirmed."""
        model = self.state.models.get(instance.model_id)
        self.stopped[instance.instance_id] = None
        counts = model is not None and instance.instance_id in model.instances
        if model is not None and counts and instance.kind in ("requested", "ready"):
            self.stopped_of[model.model_id] = self.stopped_of.get(model.model_id, 0) + 1
        if replaced_by is not None:
            self.replacing[replaced_by.model_id] = None
        wanted = InstanceStopRequested(
            instance_id=instance.instance_id,
            model_id=instance.model_id,
            node_id=instance.node_id,
            gpu_uuid=instance.gpu_uuid,
            replaced_by=replaced_by.model_id if replaced_by else None,
            epoch=self.epoch,
            reason=reason,
        )
        self.proposals.append((Draft(f"instance/{instance.instance_id}", wanted).because(cause),))

    def on_gpu(self, gpu: Gpu, event: Event, cause: Cause | None = None) -> Draft:
        """Return a draft for a GPU's stream, in which every version counts."""
        return self._versioned(f"gpu/{gpu.uuid}", gpu.version, event, cause)

    def on_floor(self, model: Model, event: Event, cause: Cause | None) -> Draft:
        """Return a draft for the stream of a model's floor, in which every version counts."""
        known = self.state.floor_versions.get(model.model_id, 0)
        return self._versioned(f"model-floor/{model.model_id}", known, event, cause)

    def _versioned(self, stream: str, known: int, event: Event, cause: Cause | None) -> Draft:
        version = self.versions.get(stream, known)
        self.versions[stream] = version + 1
        return Draft(stream, event, version).because(cause)

    def lacks(
        self,
        model: Model,
        code: str,
        numbers: Mapping[str, Scalar],
        victims: Victims | None = None,
        cause: Cause | None = None,
    ) -> None:
        """Take note why a model gets no instance in this pass, and what made it want one.

        victims: who knows which instances came closest to making room; asked only if it is told.
        """
        self.shortfalls[model.model_id] = Shortfall(code, numbers, self.strategy, victims, cause)

    def why_nowhere(self, model: Model) -> str:
        """Return the code for there being no free GPU that a model could use."""
        causes = self.room.causes(model.name)
        if not causes:
            return self._why_unsupported(model)
        if self.room.has_any(model.name):
            return "backing_off"
        for cause, code in _NOWHERE.items():
            if set(causes) <= _EXCUSED | {cause}:
                return code
        return "no_free_gpu"

    def _why_unsupported(self, model: Model) -> str:
        supporting = next(self.state.pools.supporting(model.name), None)
        return "no_node_supports" if supporting is None else "no_gpu"


# What every GPU is, when there is nothing else to say about a model's chances.
_EXCUSED = frozenset({"node_offline"})
_NOWHERE = {
    "node_offline": "no_node_online",
    "node_silent": "fleet_silence_suspected",
    "not_offered": "no_gpu_offered",
}


def _launch(model: Model, ask: Ask | None) -> Launch:
    """Return a model's launch, with what was asked for by hand laid over it."""
    if ask is None or not ask.config:
        return model.launch
    parameters = {**model.launch.parameters, **ask.config}
    return model.launch.model_copy(update={"parameters": parameters})
