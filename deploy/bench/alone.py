"""The scheduler alone: whole passes over fleets of any size, without a log, a bus or a database."""

from __future__ import annotations

import gc
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from math import log, nan

from contracts.envelope import Draft, Meta, Recorded
from contracts.events.instance import InstanceStartRequested, InstanceStopRequested
from deploy.bench.crowd import Crowd, came_true, sampled
from services.scheduler.decide import decide
from services.scheduler.state import State

PASSES = 60  # of a phase; a fleet that has nothing left to do ends it before
NOON = datetime(2030, 1, 1, 12, tzinfo=UTC)
META = Meta("bench", NOON.isoformat(), "bench")
BUSY, FLOODED = 40, 5000
FEW = 8  # models that a node supports where it does not support all


@dataclass
class Took:
    """How long passes took (ms): by the wall, and of this thread alone."""

    wall: list[float] = field(default_factory=list)
    own: list[float] = field(default_factory=list)

    @contextmanager
    def one(self) -> Iterator[None]:
        """Measure one pass, the collector off as in the service."""
        gc.disable()
        wall, own = time.perf_counter(), time.thread_time()
        yield
        self.own.append((time.thread_time() - own) * 1000)
        self.wall.append((time.perf_counter() - wall) * 1000)
        gc.enable()


class Alone:
    """A fleet whose every wish comes true at once; what is measured is deciding alone."""

    def __init__(self, crowd: Crowd) -> None:
        self.state, self.crowd, self.now = State(), crowd, NOON
        self.phases: dict[str, Took] = {}
        self._position = 0
        self._versions: dict[str, int] = defaultdict(int)
        begun = time.perf_counter()
        self._tell(crowd.models_registered(), crowd.nodes_registered(), crowd.nodes_seen())
        self._tell(crowd.reports({}))
        self.folded_per_s = self._position / (time.perf_counter() - begun)

    def live(self) -> None:
        """Go through everything that can happen to a fleet's load."""
        self._until_quiet("floors of an empty fleet")
        self._flow(lambda number: BUSY + number % 50 if number % 2 else 0)
        self._until_quiet("half of the models are busy")
        self._steady("one sample between passes")
        self._flow(lambda _: FLOODED)
        self._until_quiet("all are busy")
        self._fill()
        self._steady("all are busy, and it is full")
        self._flow(lambda number: FLOODED if number % 2 else 0)
        self._steady("busy ones take from idle ones")

    def _tell(self, *those: Iterable[Draft]) -> None:
        for some in those:
            for draft in some:
                self._position += 1
                self._versions[draft.stream] += 1
                self.state.apply(
                    Recorded(
                        position=self._position,
                        event_id=f"00000000-0000-7000-8000-{self._position:012d}",
                        stream=draft.stream,
                        version=self._versions[draft.stream],
                        type=draft.event.type,
                        schema_version=draft.event.schema_version,
                        data=draft.event.model_dump(mode="json"),
                        recorded_at=self.now,
                        meta=META,
                    )
                )

    def _flow(self, length: Callable[[int], int]) -> None:
        """Sample every queue for six minutes."""
        for _ in range(6):
            self.now += timedelta(seconds=60)
            self._tell(sampled(number, length(number)) for number in range(self.crowd.models))

    def _decide(self, took: Took) -> int:
        """Decide, let all of it come true, and return how many starts there were."""
        with took.one():
            proposals = decide(self.state, self.now, 1)
        for drafts in proposals:
            self._tell(drafts)
        events = [drafts[-1].event for drafts in proposals]
        wishes = [
            event
            for event in events
            if isinstance(event, InstanceStartRequested | InstanceStopRequested)
        ]
        self._tell(came_true(wish) for wish in wishes)
        return sum(isinstance(wish, InstanceStartRequested) for wish in wishes)

    def _until_quiet(self, name: str) -> None:
        gc.freeze()
        took = self.phases.setdefault(name, Took())
        for _ in range(PASSES):
            if not self._decide(took):
                return

    def _fill(self) -> None:
        """Go on until no GPU is left, and measure nothing of it."""
        while self._decide(Took()):
            pass

    def _steady(self, name: str) -> None:
        gc.freeze()
        took = self.phases.setdefault(name, Took())
        for number in range(PASSES):
            self._tell([sampled(number % self.crowd.models, number % 40)])
            self._decide(took)


@dataclass(frozen=True)
class Size:
    """A fleet's size, and every pass over it by phase, whatever its nodes support."""

    nodes: int
    models: int
    phases: dict[str, Took]

    @property
    def wall(self) -> list[float]:
        """All passes by the wall (ms)."""
        return [each for took in self.phases.values() for each in took.wall]

    @property
    def own(self) -> list[float]:
        """All passes, of the thread alone (ms)."""
        return [each for took in self.phases.values() for each in took.own]


def measured(nodes: int, models: int) -> Size:
    """Measure a size, with nodes that support everything and with nodes that support little."""
    phases: dict[str, Took] = {}
    for kinds in (0, FEW):
        alone = Alone(Crowd(nodes, models, kinds))
        alone.live()
        for name, took in alone.phases.items():
            known = phases.setdefault(name, Took())
            known.wall += took.wall
            known.own += took.own
        del alone
        gc.unfreeze()
        gc.collect()
    return Size(nodes, models, phases)


def exponent(sizes: Sequence[Size]) -> float:
    """Return how a pass grows with the fleet: 1 is in proportion; a least squares fit of logs.

    It is of the mean pass, of the thread alone: neighbours on the machine are no growth.
    """
    if len(sizes) < 2:  # noqa: PLR2004
        return nan
    points = [(log(size.nodes), log(sum(size.own) / len(size.own))) for size in sizes]
    middle_x = sum(x for x, _ in points) / len(points)
    middle_y = sum(y for _, y in points) / len(points)
    over = sum((x - middle_x) * (y - middle_y) for x, y in points)
    return over / sum((x - middle_x) ** 2 for x, _ in points)
