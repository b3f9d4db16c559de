"""One seed: a control plane, three machines and their load; faults first, then it must heal."""

from __future__ import annotations

import asyncio
import gc
import hashlib
import logging
import sys
from collections import Counter
from collections.abc import Coroutine, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar
from unittest.mock import patch

import structlog

from services.journal.verify import verify
from tests.simulation.faults import heal, misfortune
from tests.simulation.lines import Lines
from tests.simulation.load import Load
from tests.simulation.loop import WORLD, DeadlockError, DetLoop
from tests.simulation.machines import Machine
from tests.simulation.parts import Parts, simulated_outside
from tests.simulation.people import MODELS, People, url_of
from tests.simulation.weather import Chances, SimClock, Sky, seeded_ids
from tests.simulation.wire import SimBroker, SimLog

if TYPE_CHECKING:
    from collections.abc import Iterator

T = TypeVar("T")

MACHINES, GPUS = 3, 2
FAULTS_S, HEALED_WITHIN_S = 300.0, 600.0
LOOK_S = 5.0


@dataclass(frozen=True)
class Outcome:
    """What became of a seed. trace: sha256 over everything recorded, and the number of steps."""

    seed: int
    violations: tuple[str, ...]
    happened: Counter[str] = field(default_factory=Counter)
    trace: str = ""
    events: int = 0
    healed_s: float = 0.0


class World:
    """Everything there is."""

    def __init__(self, sky: Sky) -> None:
        self.sky = sky
        self.broker = SimBroker(sky)
        self.log = SimLog(SimClock(sky, "database"), sky, self.broker)
        self.machines = [Machine(sky, f"n{number}", GPUS) for number in range(MACHINES)]
        self.log.lives = lambda instance_id: any(
            each.body_of(instance_id) for each in self.machines
        )
        self.lines = Lines(sky, {url_of(each.name): each for each in self.machines})
        self.load = Load(sky, MODELS, self.machines)
        self.parts = Parts(sky, self.broker, self.log)
        self.people = People(self)

    def pick(self, some: Sequence[T]) -> T:
        """Return one of some, as the seed says."""
        return self.sky.chances.faults.choice(some)

    def between(self, low: float, high: float) -> float:
        """Return a number between two."""
        return self.sky.chances.faults.uniform(low, high)

    def begin(self, work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        """Start work that belongs to no service."""
        return self.sky.loop.begin(WORLD, work)

    async def live(self) -> float:
        """Go through both phases; return how long healing took (s)."""
        for machine in self.machines:
            machine.start_agent()
        self.parts.start_all()
        self.begin(self.load.run())
        await self.people.begin()
        trouble = self.begin(misfortune(self))
        await asyncio.sleep(FAULTS_S)
        trouble.cancel()
        heal(self)
        for queue in self.load.queues.values():  # else there is always something going on
            queue.rate, queue.until, queue.waiting = 0.0, float("inf"), 0.0
        healed_s = await self._healed()
        for each in self.parts.astray():
            self.sky.violate(f"R1: {each}")
        report = await verify(self.log)
        if not report.ok:
            self.sky.violate(f"verify: {report.problem} at {report.position}")
        return healed_s

    async def _healed(self) -> float:
        """Return how long it took until all was as it should be (s); a violation if it never was."""
        began, missing = self.sky.loop.time(), ["never looked"]
        while missing and self.sky.loop.time() - began < HEALED_WITHIN_S:
            await asyncio.sleep(LOOK_S)
            heal(self)  # faults that had begun may still have been at work
            missing = self.missing()
        for each in missing:
            self.sky.violate(f"V1: {HEALED_WITHIN_S:g} s after the last fault {each}")
        return self.sky.loop.time() - began

    def missing(self) -> list[str]:
        """Return what is not yet as it should be."""
        found = []
        if self.log._cursor < len(self.log._rows):
            found.append(f"{len(self.log._rows) - self.log._cursor} events are not published")
        found += self.parts.behind()
        now = self.sky.loop.time()
        truth = {
            self.machines[number].uses[body.gpu].uuid: body
            for number, machine in enumerate(self.machines)
            for body in machine.living
        }
        holders = self.log.checker.invariants.holders
        for gpu in sorted(holders.keys() | truth.keys()):
            body, holder = truth.get(gpu), holders.get(gpu)
            if body is None or body.instance_id != holder or body.ready_at > now:
                found.append(f"{gpu} is {holder}'s in the log, and runs {body}")
        for model, (floor, _) in MODELS.items():
            have = sum(body.model == model for body in truth.values())
            if have < floor:
                found.append(f"{model} has {have} instances of {floor}")
        return found

    def trace(self) -> str:
        """Return what tells two runs apart."""
        told = hashlib.sha256()
        for event in self.log.recorded:
            told.update(f"{event.position} {event.event_id} {event.stream} {event.type}".encode())
            told.update(repr(event.data).encode())
        return told.hexdigest()


def run(seed: int) -> Outcome:
    """Live through one seed."""
    chances = Chances(seed)
    loop = DetLoop(chances.schedule)
    sky = Sky(loop, chances)
    loop.set_exception_handler(lambda _, context: _told(sky, context))
    with quiet(), seeded_ids(sky):
        asyncio.set_event_loop(loop)
        world = World(sky)
        healed_s = 0.0
        try:
            with simulated_outside(world.lines, world.load), world.parts.watched():
                healed_s = loop.run_until_complete(world.live())
        except DeadlockError as error:
            sky.violate(f"V1: {error}")
        finally:
            asyncio.set_event_loop(None)
            loop.close()
        return Outcome(
            seed,
            tuple(sky.violations),
            sky.happened,
            world.trace(),
            len(world.log.recorded),
            healed_s,
        )


def _told(sky: Sky, context: dict[str, Any]) -> None:
    error = context.get("exception")
    if error is not None and "never retrieved" not in context["message"]:
        sky.violate(f"{context['message']}: {error!r}")


@contextmanager
def quiet() -> Iterator[None]:
    """Let nobody write log lines: a seed tells its story by its events."""
    before = structlog.get_config()
    hook, level = sys.unraisablehook, logging.root.manager.disable
    gc.disable()  # a collection would end generators at moments that no seed knows
    structlog.configure(
        wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL),
        logger_factory=structlog.ReturnLoggerFactory(),  # the alerter's cry as well
    )
    logging.disable(logging.CRITICAL)
    sys.unraisablehook = lambda _: None  # a dead process's coroutines, when they are collected
    with ExitStack() as stack:
        stack.callback(setattr, sys, "unraisablehook", hook)
        stack.callback(gc.collect)
        # A scheduler has what it folded frozen for good, and collects again after a decision: here
        # its world ends and is collected, and not before, whatever lived in this process earlier.
        for name in ("freeze", "enable"):
            stack.enter_context(patch.object(gc, name, lambda: None))
        stack.callback(gc.enable)
        stack.callback(logging.disable, level)
        stack.callback(lambda: structlog.configure(**before))
        yield
