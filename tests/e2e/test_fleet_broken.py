"""Any part dies in the middle of the work, or two: nothing is lost, and control is back in 10 s.

What ends in good order, and all else that can break: `just faults`.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

import pytest

from deploy.demo import checks
from deploy.local import engines
from tests.e2e.fleet import eventually, one_at_a_time

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from tests.e2e.fleet import Fleet

pytestmark = [pytest.mark.timeout(120), pytest.mark.asyncio(loop_scope="package")]

REQUESTS, OVER_S = 16, 1.2
BEFORE = 4  # served when the part dies
BACK_WITHIN_S = 10.0
NEVER_S = 1e9  # another deadline ends it
SERVED_WITHIN_S = 30.0
LEADERS = ("node_monitor", "queue_sampler", "scheduler", "deployer", "alerter")
AGENT = "node-1"
KILLED = (  # two at once, so that each waits for a part that is not there either
    ("journal",),
    ("scheduler", "query"),
    ("deployer", "projector"),
    ("node_monitor", "vault"),
    ("queue_sampler", "gateway"),
    ("alerter", AGENT),
)
COLD = ("gateway", "scheduler")  # the others live through it, the journal first of all


@pytest.mark.parametrize("parts", KILLED, ids="+".join)
async def test_killed_parts_lose_nothing_and_control_is_back(
    fleet: Fleet, parts: tuple[str, ...]
) -> None:
    before = await fleet.head()
    killed: dict[str, int] = {}

    async def kill() -> None:
        killed.update({part: fleet.kill(part) for part in parts})

    async def back() -> None:
        await asyncio.gather(*(fleet.runs_again(part, pid) for part, pid in killed.items()))

    await _survives(fleet, "+".join(parts), kill, back)
    for part in parts:
        if part in LEADERS:
            await _recorded(fleet, "lease.acquired", before, name=part)
    if "queue_sampler" in parts:
        await _recorded(fleet, "queue.sampled", await fleet.head())
    if "alerter" in parts:
        model_id = await fleet.create_homeless_model()
        await _recorded(fleet, "alert.raised", before, rule="model_floor", subject=model_id)


async def _recorded(fleet: Fleet, type_: str, after: int, **data: str) -> None:
    await eventually(lambda: fleet.recorded(type_, after, **data), BACK_WITHIN_S)


async def test_a_killed_database_loses_nothing_and_control_is_back(fleet: Fleet) -> None:
    end = engines.postgres(fleet.state).kill
    await _survives(fleet, "postgres", _threaded(end), _starting_engines(fleet))


async def test_services_started_while_a_killed_broker_is_down_are_back_with_it(
    fleet: Fleet,
) -> None:
    broker, supervisor = engines.rabbitmq(fleet.state), fleet.platform.supervisor
    before = supervisor.restarts["scheduler"]

    async def end() -> None:
        await asyncio.to_thread(broker.kill)
        for part in COLD:
            fleet.kill(part)
        await eventually(lambda: supervisor.restarts["scheduler"] >= before + 3, SERVED_WITHIN_S)

    await _survives(fleet, "cold", end, _starting_engines(fleet), restless=COLD)


async def test_after_all_of_that_the_log_is_whole(fleet: Fleet) -> None:
    verified = (await fleet.api("POST", "/log/verify"))["data"]
    assert verified["ok"], verified


async def _survives(
    fleet: Fleet,
    name: str,
    end: Callable[[], Awaitable[None]],
    back: Callable[[], Awaitable[None]],
    *,
    restless: Sequence[str] = (),
) -> None:
    """End a part in the middle of a batch, with a command in flight, and kill a worker meanwhile.

    Within seconds of the part's return the command is recorded and read, another one as well, and
    the worker is replaced; then all requests are served, and nothing was done twice. Nobody is
    restarted who was not killed, the restless excepted.
    """
    await fleet.forgive(name)
    load = asyncio.create_task(fleet.serve(name, REQUESTS, OVER_S))
    await eventually(lambda: len(fleet.served(name)) >= BEFORE, SERVED_WITHIN_S, pause_s=0.01)
    in_flight = asyncio.create_task(fleet.command(f"{name}.in-flight"))
    await asyncio.sleep(0.01)
    await end()
    dead = await fleet.kill_worker(AGENT)
    await back()
    clock = _Clock(name)
    try:
        async with asyncio.timeout(BACK_WITHIN_S):
            await asyncio.gather(
                clock.time("replaced", eventually(lambda: fleet.is_replaced(dead), NEVER_S)),
                clock.time("commands", _both(in_flight, fleet.command(f"{name}.after"))),
            )
    except TimeoutError:
        raise AssertionError(f"not back in time: {await fleet.story(dead)}") from None
    await load
    await eventually(lambda: len(fleet.served(name)) == REQUESTS, SERVED_WITHIN_S)
    await _nothing_is_wrong(fleet)
    restarts = fleet.platform.supervisor.restarts
    others = {*restarts, *fleet.killed} - {*restless}
    assert {part: restarts[part] for part in others} == {
        part: fleet.killed[part] for part in others
    }


async def _nothing_is_wrong(fleet: Fleet) -> None:
    """No GPU had two instances, nothing is parked, nothing was done twice."""
    held = await fleet.events("gpu.allocated", "gpu.freed")
    assert held
    assert one_at_a_time(held)
    assert fleet.shared_gpus == set()
    died = {row["instance_id"] for row in await fleet.instances(state="died")}
    assert fleet.done_twice(died) == []
    assert await checks.parked(fleet.engines) == 0


def _threaded(work: Callable[[], object]) -> Callable[[], Awaitable[None]]:
    async def done() -> None:
        await asyncio.to_thread(work)

    return done


def _starting_engines(fleet: Fleet) -> Callable[[], Awaitable[None]]:
    return _threaded(lambda: engines.start(fleet.state))


async def _both(first: Awaitable[None], second: Awaitable[None]) -> None:
    await first
    await second


class _Clock:
    """Tells how long after a part's return something worked; shown with `pytest -rP`."""

    def __init__(self, name: str) -> None:
        self._name, self._begun = name, time.monotonic()

    async def time(self, what: str, work: Awaitable[object]) -> None:
        await work
        print(f"{self._name}: {what} after {time.monotonic() - self._begun:.2f} s")
