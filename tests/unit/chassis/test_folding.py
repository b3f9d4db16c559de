"""Folding: whoever waits for it is told, also when it ends."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from contracts.envelope import Recorded
from services.chassis.clock import LogClock, SystemClock
from services.chassis.errors import Bug, Unavailable
from services.chassis.folding import Folding

SOON_S = 5.0
NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


class Followed:
    """A follower that yields what it is given, and fails when told to."""

    def __init__(self) -> None:
        self.on_moved = lambda: None
        self.position, self.caught_up, self.moment = 0, False, None
        self.queue: asyncio.Queue = asyncio.Queue()
        self.closed = False

    async def batches(self):
        try:
            while True:
                events = await self.queue.get()
                if isinstance(events, Exception):
                    raise events
                yield events
                self.position = events[-1].position
                self.on_moved()
        finally:
            self.closed = True


def event(position: int, at: datetime = NOON) -> Recorded:
    return Recorded(position, f"id-{position}", "s/1", position, "a.a", 1, {}, at)


@pytest.fixture
async def folding():
    followed = Followed()
    folding = Folding(followed, lambda _: None, LogClock(SystemClock()))
    folding.followed = followed
    return folding


@pytest.mark.parametrize("wait", ["reach", "caught_up", "changed"])
@pytest.mark.parametrize("how", ["fails", "is cancelled"])
async def test_when_the_fold_ends_nobody_is_left_waiting(folding, wait, how):
    waits = {
        "reach": lambda: folding.reach(7, timeout_s=60),
        "caught_up": folding.caught_up,
        "changed": lambda: folding.changed(60),
    }
    running = asyncio.create_task(folding.run())
    waiting = asyncio.create_task(waits[wait]())
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    if how == "fails":
        folding.followed.queue.put_nowait(Bug("broken"))
    else:
        running.cancel()
    await asyncio.wait({waiting, running}, timeout=SOON_S)
    assert isinstance(waiting.exception(), Unavailable)
    assert folding.followed.closed
    with pytest.raises(Unavailable):
        await folding.reach(7)
    if how == "fails":
        assert isinstance(running.exception(), Bug)


async def test_a_wait_that_was_given_up_is_forgotten(folding):
    running = asyncio.create_task(folding.run())
    assert not await folding.changed(0.01)
    assert not folding._waiters
    running.cancel()
    await asyncio.wait({running})


async def test_changes_and_positions_are_told_as_they_are_folded(folding):
    running = asyncio.create_task(folding.run())
    waiting = asyncio.create_task(folding.reach(2, SOON_S))
    for position in (1, 2):
        folding.followed.queue.put_nowait([event(position)])
    await waiting
    assert await folding.changed(SOON_S)
    assert not await folding.changed(0.01)
    running.cancel()
    await asyncio.wait({running})


async def test_the_time_is_the_logs_from_the_first_batch_on(folding):
    running = asyncio.create_task(folding.run())
    folding.followed.moment = NOON
    folding.followed.queue.put_nowait([event(1, NOON - timedelta(days=30))])
    await folding.reach(1, SOON_S)
    assert NOON <= folding.now() < NOON + timedelta(minutes=1)
    running.cancel()
    await asyncio.wait({running})
