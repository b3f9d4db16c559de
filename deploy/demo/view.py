"""What the live table and the plain lines show: one moment of the fleet and of the load."""

from collections.abc import Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class ModelRow:
    """A model: what waits for it and is in work, its instances, what was served, median wait."""

    name: str
    waiting: int | None = None
    in_work: int | None = None
    ready: int = 0
    starting: int = 0
    served: int = 0
    published: int = 0
    wait_p50_s: float | None = None
    floor_met: bool = False


@dataclass(frozen=True, slots=True)
class GpuRow:
    """A GPU: where it is, and what holds it."""

    node: str
    index: int
    online: bool = True
    model: str = ""
    state: str = ""


@dataclass(frozen=True, slots=True)
class Decision:
    """A decision of the scheduler: its position, what was decided, and why."""

    position: int
    what: str
    why: str


@dataclass(frozen=True, slots=True)
class View:
    """Everything a person watches, at one moment; stale says why what stands here is old."""

    models: Sequence[ModelRow] = ()
    gpus: Sequence[GpuRow] = ()
    decisions: Sequence[Decision] = ()
    events: int = 0
    alerts: int = 0
    stale: str = ""


@dataclass(frozen=True, slots=True)
class Progress:
    """How far the run is; wanted is 0 where it has no end."""

    elapsed_s: float
    wanted: int
    published: int
    served: int
    repeated: int
    speed: float
    wait_p50_s: float | None = None
    wait_p95_s: float | None = None
    notes: Sequence[str] = field(default_factory=tuple)
    url: str = ""
