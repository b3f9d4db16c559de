"""What the seed draws: the order of things, the weather of the network, and how often what came."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import TYPE_CHECKING
from unittest.mock import patch

from services.chassis import ids
from tests.simulation.loop import PROCESS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.simulation.loop import DetLoop

BEGAN = datetime(2026, 3, 1, 12, tzinfo=UTC)


@dataclass
class Weather:
    """How bad it is just now: each a probability per message, statement or call."""

    slow: float = 0.0
    unsent: float = 0.0
    unconfirmed: float = 0.0
    doubled: float = 0.0
    dropped: float = 0.0
    statement_failed: float = 0.0
    outcome_unknown: float = 0.0
    answer_lost: float = 0.0
    command_stuck: float = 0.0
    save_failed: float = 0.0
    load_failed: float = 0.0
    worker_fails: float = 0.0
    worker_dies: float = 0.0


CALM = Weather()


@dataclass
class Chances:
    """Streams of chance that do not disturb each other."""

    seed: int
    schedule: random.Random = field(init=False)
    network: random.Random = field(init=False)
    faults: random.Random = field(init=False)
    load: random.Random = field(init=False)
    ids: random.Random = field(init=False)

    def __post_init__(self) -> None:
        for name in ("schedule", "network", "faults", "load", "ids"):
            setattr(self, name, random.Random(f"{self.seed}/{name}"))  # noqa: S311 (no secret)


@dataclass
class Sky:
    """Time, chance, weather, and the count of what happened at least once."""

    loop: DetLoop
    chances: Chances
    weather: Weather = field(default_factory=Weather)
    happened: Counter[str] = field(default_factory=Counter)
    violations: list[str] = field(default_factory=list)
    skew_s: dict[str, float] = field(default_factory=dict)

    def now(self) -> datetime:
        """Return the true time of day."""
        return BEGAN + timedelta(seconds=self.loop.time())

    def comes(self, what: str) -> bool:
        """Tell whether the weather strikes here, and count it."""
        probability: float = getattr(self.weather, what)
        if probability == 0.0 or self.chances.network.random() >= probability:
            return False
        self.happened[what] += 1
        return True

    def delay_s(self) -> float:
        """Return how long something takes on its way."""
        chance = self.chances.network
        if self.comes("slow"):
            return chance.uniform(0.2, 4.0)
        return chance.uniform(0.0005, 0.01)

    def violate(self, what: str) -> None:
        """Note that a promise was broken."""
        self.violations.append(f"{self.loop.time():.3f} s: {what}")


class SimClock:
    """The clock of one machine: its time of day may be wrong and jump, its seconds are true."""

    def __init__(self, sky: Sky, machine: str) -> None:
        self._sky, self._machine = sky, machine
        self._base = sky.chances.ids.uniform(0, 1e6)

    def now(self) -> datetime:
        """Return this machine's time of day."""
        return self._sky.now() + timedelta(seconds=self._sky.skew_s.get(self._machine, 0.0))

    def monotonic(self) -> float:
        """Return seconds from an arbitrary start."""
        return self._base + self._sky.loop.time()

    async def sleep(self, seconds: float) -> None:
        """Return after so many virtual seconds."""
        await asyncio.sleep(seconds)


@contextmanager
def seeded_ids(sky: Sky) -> Iterator[None]:
    """Have ids come from the seed."""
    source = sky.chances.ids
    chance = SimpleNamespace(urandom=source.randbytes)
    time = SimpleNamespace(time_ns=lambda: int(sky.now().timestamp() * 1e9))
    with patch.object(ids, "os", chance), patch.object(ids, "time", time):
        yield


def here() -> str:
    """Return the name of the process that runs."""
    return PROCESS.get().name
