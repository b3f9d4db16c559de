"""The appender: outages are held out, a verdict is never lost, and nobody is left waiting."""

import asyncio

import pytest

from services.chassis.clock import SystemClock
from services.chassis.errors import Bug, Unavailable
from services.journal import append
from services.journal.adapters.memory import MemoryLog
from services.journal.append import GroupAppender
from tests.shared.log import a_stream, command, entry

SOON_S = 5.0


class Failing(MemoryLog):
    """A log that fails as it is told to, before or after it has appended."""

    def __init__(self):
        super().__init__(SystemClock())
        self.before: list[Exception] = []
        self.after: list[Exception] = []
        self.held = asyncio.Event()
        self.held.set()

    async def append(self, commands, not_before=None):
        if self.before:
            raise self.before.pop(0)
        verdicts = await super().append(commands, not_before)
        if self.after:
            raise self.after.pop(0)
        await self.held.wait()
        return verdicts


@pytest.fixture
def log(monkeypatch):
    monkeypatch.setattr(append, "FIRST_RETRY_S", 0.001)
    return Failing()


async def ended(task: asyncio.Task) -> BaseException | None:
    await asyncio.wait({task}, timeout=SOON_S)
    return task.exception()


async def test_an_outage_is_held_out_and_what_was_recorded_unanswered_is_not_doubled(log):
    appender = GroupAppender(log, SystemClock())
    running = asyncio.create_task(appender.run())
    log.before, log.after = [Unavailable("away")] * 2, [Unavailable("answer lost")]
    async with asyncio.timeout(SOON_S):
        verdicts = await appender.append([command(entry(a_stream(), expected=0))])
    assert [verdict.positions for verdict in verdicts] == [(1,)]
    assert (await log.head()).position == 1
    running.cancel()


async def test_when_the_log_fails_for_good_everybody_waiting_is_told(log):
    appender = GroupAppender(log, SystemClock())
    running = asyncio.create_task(appender.run())
    log.before = [Bug("broken")]
    waiting = [
        asyncio.create_task(appender.append([command(entry("environment/same"))])) for _ in range(3)
    ]
    assert isinstance(await ended(running), Bug)
    for task in waiting:
        assert isinstance(await ended(task), Unavailable)
    with pytest.raises(Unavailable):
        await appender.append([command(entry(a_stream()))])


async def test_a_cancelled_appender_leaves_no_append_under_way(log):
    appender = GroupAppender(log, SystemClock())
    running = asyncio.create_task(appender.run())
    log.held.clear()
    waiting = asyncio.create_task(appender.append([command(entry(a_stream()))]))
    while not appender._under_way:
        await asyncio.sleep(0)
    under_way = list(appender._under_way)
    running.cancel()
    await asyncio.wait({running}, timeout=SOON_S)
    assert all(task.done() for task in under_way)
    assert isinstance(await ended(waiting), Unavailable)


async def test_a_caller_that_gave_up_harms_nobody(log):
    appender = GroupAppender(log, SystemClock())
    running = asyncio.create_task(appender.run())
    log.held.clear()
    gone = asyncio.create_task(appender.append([command(entry("environment/same"))]))
    stays = asyncio.create_task(appender.append([command(entry("environment/same"))]))
    await asyncio.sleep(0)
    gone.cancel()
    log.held.set()
    async with asyncio.timeout(SOON_S):
        assert [verdict.versions for verdict in await stays] == [(2,)]
    running.cancel()
