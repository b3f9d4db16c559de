"""What is known of models, nodes, GPUs, instances and strategies; by id, never by object."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, get_args

from contracts.envelope import Cause
from contracts.events.gpu import FreedBecause
from contracts.types import Launch, OnLostControl, QueueAddress, Scalar
from services.scheduler.state.samples import Samples

Phase = Literal["requested", "ready", "stopping"]
# Abandoned: on a node that was deleted; it may come back with another, and counts for nothing.
Kind = Literal["requested", "ready", "stopping", "unreachable", "abandoned"]

ANY_MODEL = "*"
FORGET_S = 3600.0
STABLE_S = 300.0


@dataclass(slots=True)
class Failures:
    """Starts that failed one after another, and when the last one did (s)."""

    count: int
    last_s: float


@dataclass(slots=True)
class Model:
    """A model, its instances by how they count, and what was said about its floor.

    defined_by: what gave it its properties. short_by: what last took an instance from it, or made
    it ask for one. served_by: the last start that came to something.
    """

    model_id: str
    name: str
    queue: QueueAddress
    launch: Launch
    average_inference_time_s: float
    min_instances: int
    max_instances: int
    on_lost_control: OnLostControl
    samples: Samples = field(default_factory=Samples)
    queue_problem: str | None = None
    instances: dict[str, None] = field(default_factory=dict)
    counts: dict[Kind, int] = field(default_factory=lambda: dict.fromkeys(get_args(Kind), 0))
    waits_for_gpu: str | None = None
    failures: Failures | None = None
    failures_at: dict[str, Failures] = field(default_factory=dict)
    last_error: str = ""
    floor_open: tuple[str, int, int] | None = None
    deferred: str | None = None
    defined_by: Cause | None = None
    short_by: Cause | None = None
    served_by: Cause | None = None

    @property
    def floor(self) -> int:
        """Return how many instances it must have."""
        return min(self.min_instances, self.max_instances)

    @property
    def live(self) -> int:
        """Return how many instances serve or are about to, where we can reach them."""
        return self.counts["requested"] + self.counts["ready"]

    @property
    def busy_by(self) -> Cause | None:
        """Return what makes it want an instance while messages wait and it has none.

        The loss of its last one if they waited already then, or else what its queue showed last.
        """
        since = self.samples.stirred_by or self.samples.last
        if self.short_by and (since is None or self.short_by.position > since.position):
            return self.short_by
        return self.samples.last


@dataclass(slots=True)
class Gpu:
    """A GPU: its stream's version, who holds it, and what really runs on it.

    seen_boot: the boot of the last report that showed it. foreign: what that showed running there
    that is not ours, and how many in a row did. seen_by: the report that showed it last.
    """

    uuid: str
    node_id: str
    index: int
    version: int = 0
    present: bool = False
    held_by: str | None = None
    quarantined: bool = False
    seen_boot: str | None = None
    foreign: str = ""
    foreign_reports: int = 0
    seen_by: Cause | None = None
    cause: str | None = None


@dataclass(slots=True)
class Node:
    """A machine: what it offers, whether it answers, and which of its GPUs are free, by index.

    names: the supported models again, for looking one up.
    """

    node_id: str
    name: str = ""
    offered: tuple[int, ...] = ()
    supported: tuple[str, ...] = ()
    names: dict[str, None] = field(default_factory=dict)
    boot_id: str | None = None
    deleted: bool = False
    online: bool = False
    answered_s: float = 0.0
    gpus: dict[str, None] = field(default_factory=dict)
    free: list[tuple[int, str]] = field(default_factory=list)
    instances: dict[str, None] = field(default_factory=dict)

    @property
    def reachable(self) -> bool:
        """Return whether its instances count."""
        return self.online and not self.deleted

    def supports(self, model_name: str) -> bool:
        """Return whether it can serve a model of this name."""
        return model_name in self.names or ANY_MODEL in self.names


@dataclass(slots=True)
class Instance:
    """A worker, from the request for it to the confirmation of its end (and its GPU's freedom)."""

    instance_id: str
    model_id: str
    node_id: str
    gpu_uuid: str
    requested_s: float
    pinned: bool = False
    phase: Phase = "requested"
    ready_s: float | None = None
    stopping_s: float | None = None
    replaced_by: str | None = None
    kind: Kind | None = None
    leaving_by: Cause | None = None
    ended: FreedBecause | None = None
    ended_by: Cause | None = None


@dataclass(slots=True)
class Ask:
    """A start asked for by hand and not yet answered."""

    ask_id: str
    model_id: str
    node_id: str
    gpu_index: int | None
    config: dict[str, Scalar]
    asked_by: Cause


@dataclass(slots=True)
class Strategy:
    """A stored strategy; `problem` says why its parameters cannot be obeyed."""

    strategy_id: str
    name: str
    policy: str
    parameters: dict[str, Scalar]
    order: int
    active: bool
    problem: str | None = None
