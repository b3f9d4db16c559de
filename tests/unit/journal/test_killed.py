"""A journal killed at its worst moments: what it committed is published, answered, seen once."""

import asyncio
from contextlib import asynccontextmanager, suppress

import pytest

from services.chassis import failpoints
from services.chassis.clock import LogClock, SystemClock
from services.chassis.folding import Folding
from services.chassis.follower import Follower
from services.chassis.memory import MemoryBroker
from services.chassis.proposer import Proposer
from services.journal import handlers, publish
from services.journal.adapters.memory import MemoryLog
from services.journal.handlers import Journal
from tests.shared.spine import created

SOON_S = 10.0
CLOCK = SystemClock()
PLACES = (
    failpoints.JOURNAL_COMMITTED,
    failpoints.JOURNAL_PUBLISHED,
    failpoints.JOURNAL_ANSWERING,
)


class Killed(BaseException):
    """Nobody catches it: the process is gone."""


@pytest.fixture(autouse=True)
def impatient(monkeypatch):
    monkeypatch.setattr(publish, "STANDBY_PATIENCE_S", 0.1)
    monkeypatch.setattr(handlers, "RETRY_S", 0.01)


@asynccontextmanager
async def following(broker):
    seen: list[int] = []
    bus = broker.bus("scheduler")
    follower = Follower(bus, "scheduler", frozenset({"environment.created"}), CLOCK)
    folding = Folding(follower, lambda event: seen.append(event.position), LogClock(CLOCK))
    running = asyncio.create_task(folding.run())
    yield folding, seen
    running.cancel()
    with suppress(asyncio.CancelledError):
        await running
    await bus.close()


async def live_until_killed(broker, log, place: str, chances: int) -> None:
    """Run a journal that dies when it comes to a place for the n-th time."""
    left = chances

    async def kill() -> None:
        nonlocal left
        left -= 1
        if left <= 0:
            raise Killed

    bus = broker.bus("journal")
    with failpoints.armed(place, kill), suppress(Killed):
        await Journal(bus, log, CLOCK).run()
    await bus.close()


@pytest.mark.parametrize("place", PLACES)
async def test_a_journal_killed_again_and_again_loses_nothing_and_doubles_nothing(place):
    broker, log = MemoryBroker(), MemoryLog(CLOCK)

    async def journals() -> None:
        for chances in (1, 2, 1, 3):
            await live_until_killed(broker, log, place, chances)
        await Journal(broker.bus("journal"), log, CLOCK).run()

    living = asyncio.create_task(journals())
    gateway = Proposer(broker.bus("gateway"), "gateway", CLOCK)
    async with following(broker) as (folding, seen), asyncio.timeout(SOON_S * 3):
        drafts = [created(expected_version=0) for _ in range(12)]
        accepted = [await gateway.propose(draft) for draft in drafts]
        await folding.reach(accepted[-1].position, SOON_S)
        while await log.cursor() < len(drafts):
            await asyncio.sleep(0.01)
    assert [a.position for a in accepted] == list(range(1, 13))
    assert seen == list(range(1, 13))
    assert len(log._rows) == 12
    living.cancel()
    with suppress(asyncio.CancelledError):
        await living


async def test_two_journals_at_once_are_harmless(monkeypatch):
    broker, log = MemoryBroker(), MemoryLog(CLOCK)
    journals = [
        asyncio.create_task(Journal(broker.bus("journal"), log, CLOCK).run()) for _ in range(2)
    ]
    gateway = Proposer(broker.bus("gateway"), "gateway", CLOCK)
    async with following(broker) as (folding, seen), asyncio.timeout(SOON_S):
        accepted = await gateway.propose_all([[created()] for _ in range(100)])
        await folding.reach(accepted[-1].position, SOON_S)
    assert seen == list(range(1, 101))
    for journal in journals:
        journal.cancel()
    await asyncio.gather(*journals, return_exceptions=True)
