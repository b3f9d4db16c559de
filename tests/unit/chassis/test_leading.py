"""Leading: one at a time, given up at once when told to end, whatever the act does meanwhile."""

import asyncio
from contextlib import asynccontextmanager

import pytest

from contracts.envelope import Lease
from services.chassis import leadership as module
from services.chassis import wire
from services.chassis.clock import LogClock, SystemClock
from services.chassis.errors import Bug, Unavailable
from services.chassis.folding import Folding
from services.chassis.follower import Follower
from services.chassis.leadership import Leadership, lead
from services.chassis.memory import MemoryBroker
from services.chassis.ports import Message
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


async def test_nobody_leads_by_a_beacon_that_the_journal_did_not_send(monkeypatch):
    broker, clock = MemoryBroker(), SystemClock()
    beacon = Message(b"{}", {"head": 0})
    acting = asyncio.Event()

    async def act(term) -> None:
        acting.set()
        await asyncio.Event().wait()

    journal = Journal(broker.bus("journal"), MemoryLog(clock), clock)
    monkeypatch.setattr(journal.publisher, "beacon", asyncio.Event().wait)
    running = asyncio.create_task(journal.run())
    async with leading(broker, act):
        for _ in range(3):
            stranger = broker.bus("node_monitor")
            await stranger.publish(wire.EXCHANGE_RECORDED, wire.BEACON, beacon, mandatory=False)
            await asyncio.sleep(0.01)
        assert broker.depth("scheduler.lead") == 0
        assert not acting.is_set()
        ours = broker.bus("journal")
        await ours.publish(wire.EXCHANGE_RECORDED, wire.BEACON, beacon, mandatory=False)
        await reached(acting)
    running.cancel()
    await asyncio.wait({running})


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


class History:
    """A fold that gets so far in each of the times it is waited for."""

    def __init__(self, steps: list[int]) -> None:
        self.position, self._steps = 0, steps

    async def reach(self, position: int, timeout_s: float) -> None:
        self.position += self._steps.pop(0) if self._steps else 0
        if self.position < position:
            raise Unavailable(f"not in {timeout_s:g} s")


async def test_a_long_history_may_take_its_time_while_it_goes_on():
    history = History([3, 1, 6])
    await module._folded_up_to(module.Term(Lease("scheduler", 1), 10), history)
    assert history.position == 10


async def test_a_fold_that_stands_still_ends_the_term():
    with pytest.raises(Unavailable):
        await module._folded_up_to(module.Term(Lease("scheduler", 1), 10), History([3, 0, 6]))


async def test_a_term_that_is_lost_does_not_wait_for_its_history():
    term = module.Term(Lease("scheduler", 1), 10)
    term.lost.set()
    with pytest.raises(Unavailable):
        await module._folded_up_to(term, History([3, 7]))
