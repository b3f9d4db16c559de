"""Gauges: what is so now, looked at in the service's own loop and told whenever somebody exports.

The exporter runs in a thread; a state that is being folded must not be read from there.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from opentelemetry.metrics import CallbackOptions, Observation

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from opentelemetry.metrics import Meter

    Readings = Iterable[tuple[float, Mapping[str, str]]]
    Look = Callable[[], Readings]

LOOK_S = 5.0

# name → unit, what it tells. Dashboards and alert rules may use these and the instruments' names.
GAUGES = {
    "quartermaster.service.healthy": ("{service}", "1 while every part of it says it is well."),
    "quartermaster.follower.lag": ("{event}", "Recorded events a service has not folded yet."),
    "quartermaster.journal.publish.lag": ("{event}", "Recorded events not yet published."),
    "quartermaster.queue.length": ("{message}", "Messages waiting or in work in a model's queue."),
    "quartermaster.gpus": ("{gpu}", "GPUs by what holds them."),
    "quartermaster.instances": ("{instance}", "Instances by where they are in life."),
    "quartermaster.nodes": ("{node}", "Nodes by whether they answer."),
    "hw.gpu.utilization": ("1", "How busy a GPU is, 0 to 1."),
    "hw.gpu.memory.usage": ("By", "Memory in use on a GPU."),
    "hw.gpu.memory.limit": ("By", "Memory a GPU has."),
}


@dataclass
class _Metering:
    meter: Meter | None = None
    looks: defaultdict[str, list[Look]] = field(default_factory=lambda: defaultdict(list))
    seen: dict[str, list[Observation]] = field(default_factory=dict)


_METERING = _Metering()


def use(meter: Meter | None) -> None:
    """Make the gauges with this meter; None: tell nobody anything."""
    _METERING.meter = meter
    _METERING.seen.clear()
    if meter is None:
        return
    for name, (unit, about) in GAUGES.items():
        meter.create_observable_gauge(name, [_telling(name)], unit=unit, description=about)


def is_on() -> bool:
    """Return whether anybody wants to know."""
    return _METERING.meter is not None


@contextmanager
def gauge(name: str, look: Look) -> Iterator[None]:
    """Let a gauge show what `look` returns, while this lasts."""
    looks = _METERING.looks[name]
    looks.append(look)
    try:
        yield
    finally:
        looks.remove(look)


def look() -> None:
    """Look at everything once."""
    for name, looks in _METERING.looks.items():
        _METERING.seen[name] = [
            Observation(float(value), attributes) for each in looks for value, attributes in each()
        ]


async def keep_looking() -> None:
    """Look at everything again and again; what is not looked at costs nothing."""
    while True:
        look()
        await asyncio.sleep(LOOK_S)


def _telling(name: str) -> Callable[[CallbackOptions], list[Observation]]:
    return lambda _: _METERING.seen.get(name, [])
