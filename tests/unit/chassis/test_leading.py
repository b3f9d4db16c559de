"""Leading: one at a time, given up at once when told to end, whatever the act does meanwhile."""

import asyncio
from contextlib import asynccontextmanager

import pytest

from services.chassis import leadership as module
from services.chassis.clock import LogClock, SystemClock
from services.chassis.errors import Bug, Unavailable
from services.chassis.folding import Folding
from services.chassis.follower import Follower
from services.chassis.leadership import Leadership, lead
from services.chassis.memory import MemoryBroker
from services.chassis.proposer import Proposer
from services.journal.adapters.memory import MemoryLog
from services.journal.handlers import Journal

SOON_S = 10.0
CLOCK = SystemClock()


@pytest.fixture
async def broker(monkeypatch):
    monkeypatch.setattr(module, "RETRY_S", 0.01)
    broker = MemoryBroker()
    journal = asyncio.create_task(Journal(broker.bus("journal"), MemoryLog(CLOCK), CLOCK).run())
    yield broker
    journal.cancel()
    await asyncio.wait({journal})


@asynccontextmanager
async def leading(broker, act, bus=None):
    bus = bus or broker.bus("scheduler")
    follower = Follower(bus, "scheduler", frozenset({"environment.created"}), CLOCK)
    folding = Folding(follower, lambda _: None, LogClock(CLOCK))
    who = Leadership(bus, Proposer(bus, "scheduler", CLOCK), "scheduler", "me", folding)
    task = asyncio.create_task(lead(who, folding, act))
    try:
        yield task
    finally:
        task.cancel()
        await asyncio.wait({task}, timeout=SOON_S)
        await bus.close()


async def reached(event: asyncio.Event) -> None:
    async with asyncio.timeout(SOON_S):
        await event.wait()


async def test_who_is_told_to_end_gives_up_its_place_before_it_has_ended(broker):
    acting = asyncio.Event()

    async def act(term) -> None:
        acting.set()
        await asyncio.Event().wait()

    async with leading(broker, act) as task:
        await reached(acting)
        assert len(broker.queue("scheduler.lead").inboxes) == 1
        task.cancel()
        await asyncio.wait({task}, timeout=SOON_S)
        assert task.cancelled()
        assert not broker.queue("scheduler.lead").inboxes


async def test_who_is_told_to_end_while_its_act_is_ending_ends(broker):
    acting, slow = asyncio.Event(), asyncio.Event()
    terms = []

    async def act(term) -> None:
        terms.append(term)
        acting.set()
        try:
            await asyncio.Event().wait()
        finally:
            slow.set()
            await asyncio.sleep(0.05)

    async with leading(broker, act) as task:
        await reached(acting)
        terms[0].lost.set()
        await reached(slow)
        task.cancel()
        await asyncio.wait({task}, timeout=1.0)
        assert task.cancelled()
    assert len(terms) == 1


async def test_a_lost_connection_ends_the_term_and_another_begins_with_a_newer_epoch(broker):
    epochs: list[int] = []
    again = asyncio.Event()
    bus = broker.bus("scheduler")

    async def act(term) -> None:
        epochs.append(term.epoch)
        if len(epochs) > 1:
            again.set()
        await asyncio.Event().wait()

    async with leading(broker, act, bus):
        async with asyncio.timeout(SOON_S):
            while not epochs:
                await asyncio.sleep(0.01)
        for inbox in list(broker.queue("scheduler.lead").inboxes):
            inbox.lose()
        await reached(again)
    assert epochs == [1, 2]


async def test_an_act_that_finds_the_other_side_away_leads_again(broker):
    calls = []
    again = asyncio.Event()

    async def act(term) -> None:
        calls.append(term.epoch)
        if len(calls) == 1:
            raise Unavailable("away")
        again.set()
        await asyncio.Event().wait()

    async with leading(broker, act):
        await reached(again)
    assert calls == [1, 2]


async def test_a_bug_in_the_act_ends_it_all(broker):
    async def act(term) -> None:
        raise Bug("broken")

    async with leading(broker, act) as task:
        await asyncio.wait({task}, timeout=SOON_S)
        assert task.exception() is not None
        assert not broker.queue("scheduler.lead").inboxes
