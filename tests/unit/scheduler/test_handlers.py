"""The scheduler's loop on the memory bus, with a journal behind it."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from contracts.envelope import Draft, Lease
from contracts.events import instance as i
from contracts.events import model as m
from services.chassis.clock import SystemClock
from services.chassis.errors import Bug, Conflict, Fenced, QuartermasterError, Refused
from services.chassis.health import Health
from services.scheduler.handlers import Scheduler
from services.scheduler.service import schedule
from services.scheduler.settings import Settings
from services.scheduler.state import State
from tests import builders as b
from tests.in_memory import World, a_world, ended, until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence
    from datetime import datetime


def by_whom(event: Any) -> str:
    subject = event.type.split(".")[0]
    return {"node": "node_monitor", "instance": "deployer", "queue": "queue_sampler"}.get(
        subject, "gateway"
    )


async def tell(world: World, *events: Any) -> None:
    """Record events as the services that may say them would."""
    leased = (b.n.NodeCameOnline, b.n.NodeInventoryChanged, i.InstanceStarted, i.InstanceStopped)
    for event in events:
        draft = Draft(b.stream_of(event), event)
        if isinstance(event, leased):
            await world.as_leader(by_whom(event), draft)
        else:
            registered = isinstance(event, b.n.NodeRegistered)
            await world.record("gateway" if registered else by_whom(event), draft)


@asynccontextmanager
async def a_scheduler(world: World, **settings: Any) -> AsyncIterator[asyncio.Task[None]]:
    bus = world.broker.bus("scheduler")
    task = asyncio.create_task(
        schedule(world.context("scheduler"), bus, Settings(_env_file=None, **settings))
    )
    try:
        yield task
    finally:
        await ended(task)
        await bus.close()


async def test_a_change_is_answered_at_once_and_the_life_of_an_instance_is_followed() -> None:
    async with a_world() as world, a_scheduler(world, scheduler_interval=3600):
        await tell(world, b.a_model(), *b.a_node())
        (start,) = await until(lambda: world.facts(i.InstanceStartRequested))
        assert start.epoch == 1
        await tell(world, b.started(start.instance_id))
        await until(lambda: world.facts(m.ModelFloorMet) or not world.facts(m.ModelFloorUnmet))
        await tell(world, m.ModelDeleted(model_id="llama"))
        await until(lambda: world.facts(i.InstanceStopRequested, instance_id=start.instance_id))
        await tell(world, b.stopped(start.instance_id))
        await until(lambda: world.facts(b.g.GpuFreed, instance_id=start.instance_id))


async def test_switched_off_it_decides_nothing() -> None:
    async with a_world() as world:
        await tell(world, b.a_model(), *b.a_node())
        context = world.context("scheduler")
        settings = Settings(_env_file=None, enable_scheduler=False)
        off = asyncio.create_task(schedule(context, world.broker.bus("scheduler"), settings))
        await until(lambda: "ENABLE_SCHEDULER" in str(vars(context.health)))
        async with a_scheduler(world):
            (start,) = await until(lambda: world.facts(i.InstanceStartRequested))
        assert start.epoch == 1  # the one that is off never led
        await ended(off)


async def test_a_second_scheduler_stands_by_and_takes_over() -> None:
    async with a_world() as world, AsyncExitStack() as first:
        await first.enter_async_context(a_scheduler(world))
        await tell(world, b.a_model("x"), *b.a_node(gpus=2))
        await until(lambda: world.facts(i.InstanceStartRequested))
        async with a_scheduler(world):
            await first.aclose()
            await tell(world, b.a_model("y"))
            await until(lambda: world.facts(i.InstanceStartRequested, model_id="y"))
        starts = world.facts(i.InstanceStartRequested)
        assert [(start.model_id, start.epoch) for start in starts] == [("x", 1), ("y", 2)]


class FakeFolding:
    """Caught up with a state that the test folds; every change comes from its script."""

    def __init__(self, log: b.Log) -> None:
        self.log = log
        self.waited: list[float] = []
        self.reached: list[int] = []
        self.on_wait: list[Any] = []

    is_caught_up = True

    def now(self) -> datetime:
        return self.log.now + timedelta(seconds=1)

    async def caught_up(self) -> None:
        return

    async def reach(self, position: int, timeout_s: float = 10.0) -> None:
        self.reached.append(position)

    async def changed(self, timeout_s: float) -> bool:
        self.waited.append(timeout_s)
        if not self.on_wait:
            raise asyncio.CancelledError
        return bool(self.on_wait.pop(0)())


class Recorder:
    """A journal that gives the verdicts it was told to."""

    def __init__(self, state: State, log: b.Log, *verdicts: QuartermasterError) -> None:
        self.state, self.log, self.verdicts = state, log, list(verdicts)
        self.messages: list[int] = []

    async def propose_all(
        self, proposals: Sequence[Sequence[Draft]], lease: Lease | None = None
    ) -> list[Any]:
        self.messages.append(len(proposals))
        return [self._verdict(drafts) for drafts in proposals]

    def _verdict(self, drafts: Sequence[Draft]) -> Any:
        if self.verdicts:
            return self.verdicts.pop(0)
        recorded = self.log.append(drafts)
        for event in recorded:
            self.state.apply(event)
        return recorded[-1]


class ATerm:
    lease = Lease("scheduler", 1)


def a_loop(*events: Any, verdicts: Sequence[QuartermasterError] = ()) -> Any:
    state, log = State(), b.Log()
    for event in events:
        state.apply(log.record(event))
    folding, recorder = FakeFolding(log), Recorder(state, log, *verdicts)
    health = Health("scheduler")
    scheduler = Scheduler(state, folding, recorder, SystemClock(), health, interval_s=60.0)
    return scheduler, folding, recorder


async def test_what_was_recorded_is_folded_before_deciding_again() -> None:
    scheduler, folding, recorder = a_loop(b.a_model(), *b.a_node())
    with pytest.raises(asyncio.CancelledError):
        await scheduler.act(ATerm())
    assert recorder.messages == [1]
    assert folding.reached == [len(recorder.log.events)]
    assert folding.waited[0] == pytest.approx(60.0, abs=1.0)


async def test_a_conflict_waits_for_the_world_and_decides_again() -> None:
    scheduler, folding, recorder = a_loop(
        b.a_model(), *b.a_node(), verdicts=[Conflict("moved", stream="gpu/x", current=3)]
    )
    folding.on_wait = [lambda: True]
    with pytest.raises(asyncio.CancelledError):
        await scheduler.act(ATerm())
    assert recorder.messages == [1, 1]
    assert folding.waited[0] == 1.0


@pytest.mark.parametrize("error", [Fenced("older"), Bug("no")])
async def test_a_fence_ends_the_term(error: QuartermasterError) -> None:
    scheduler, _, _ = a_loop(b.a_model(), *b.a_node(), verdicts=[error])
    with pytest.raises(type(error)):
        await scheduler.act(ATerm())


async def test_a_refusal_of_our_own_decision_is_a_bug() -> None:
    scheduler, _, _ = a_loop(b.a_model(), *b.a_node(), verdicts=[Refused("wrong")])
    with pytest.raises(Bug, match="wrong"):
        await scheduler.act(ATerm())


async def test_a_change_that_matters_to_nobody_wakes_nobody() -> None:
    scheduler, folding, recorder = a_loop()
    state, log = recorder.state, recorder.log
    folding.on_wait = [
        lambda: True,  # something was folded that changes no decision
        lambda: state.apply(log.record(b.a_model())) or True,
    ]
    with pytest.raises(asyncio.CancelledError):
        await scheduler.act(ATerm())
    assert recorder.messages == [1]
    assert len(folding.waited) == 3


async def test_the_tick_decides_without_any_change() -> None:
    scheduler, folding, recorder = a_loop(
        b.a_model(), *b.a_node(), *b.an_instance(ready=False), b.start_failed()
    )
    folding.on_wait = [lambda: recorder.log.wait(60) or False]
    with pytest.raises(asyncio.CancelledError):
        await scheduler.act(ATerm())
    assert len(recorder.messages) == 2


async def test_many_proposals_go_in_several_messages() -> None:
    models = [b.a_model(f"m{k}") for k in range(150)]
    scheduler, _, recorder = a_loop(*models)
    with pytest.raises(asyncio.CancelledError):
        await scheduler.act(ATerm())
    assert sum(recorder.messages) == 150
    assert max(recorder.messages) <= 128


async def test_a_strategy_that_cannot_be_obeyed_turns_the_health_red() -> None:
    health = Health("scheduler")
    scheduler, _, _ = a_loop(b.a_strategy(parameters={"idle_s": -1}))
    scheduler._health = health
    with pytest.raises(asyncio.CancelledError):
        await scheduler.act(ATerm())
    assert "idle_s" in str(vars(health))
