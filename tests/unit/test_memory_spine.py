"""The spine in memory passes the suite of every spine, and heals whatever the broker loses."""

import asyncio
from contextlib import suppress

import pytest

from services.chassis.clock import SystemClock
from services.chassis.memory import MemoryBroker
from services.journal.adapters.memory import MemoryLog
from services.journal.handlers import Journal
from tests.shared.spine import CLOCK, SpineSuite, created


@pytest.fixture
def memory():
    return MemoryBroker()


@pytest.fixture
def connect(memory):
    async def connect(service: str):
        return memory.bus(service)

    return connect


@pytest.fixture
def parked(memory):
    async def parked() -> dict:
        async with asyncio.timeout(5):
            while not memory.queue("qm.parked").letters:
                await asyncio.sleep(0.01)
        return memory.queue("qm.parked").letters.popleft().message.headers

    return parked


@pytest.fixture
def log():
    return MemoryLog(SystemClock())


@pytest.fixture
async def journal(memory, log):
    journal = Journal(memory.bus("journal"), log, CLOCK)
    running = asyncio.create_task(journal.run())
    yield journal
    running.cancel()
    with suppress(asyncio.CancelledError):
        await running


class TestMemorySpine(SpineSuite):
    async def test_lost_and_repeated_runs_are_healed(self, memory, gateway, follow):
        folded = await follow()
        first = await gateway.propose(created())
        await folded.reach(first.position)
        queue = next(name for name in memory._queues if name.endswith(".recorded"))
        bindings = memory._bindings["qm.recorded"]
        own = [bound for bound in bindings if bound[1].name == queue]
        bindings[:] = [bound for bound in bindings if bound[1].name != queue]
        lost = await gateway.propose(created(), created())
        bindings.extend(own)
        after = await gateway.propose(created())
        positions = await folded.reach(after.position)
        wanted = [*first.positions, *lost.positions, *after.positions]
        assert [p for p in positions if p in wanted] == wanted

    async def test_a_lost_last_run_is_found_by_the_beacon(self, memory, gateway, follow):
        folded = await follow()
        await folded.reach((await gateway.propose(created())).position)
        bindings = memory._bindings["qm.recorded"]
        own = [bound for bound in bindings if bound[1].name.endswith(".recorded")]
        bindings[:] = [bound for bound in bindings if bound not in own]
        lost = await gateway.propose(created())
        await asyncio.sleep(0.05)
        bindings.extend(own)
        assert lost.position in await folded.reach(lost.position)
