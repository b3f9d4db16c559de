"""Publishing: runs are consecutive and bounded, and the publisher outlives its broker."""

import asyncio
from datetime import UTC, datetime

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.chassis.clock import SystemClock
from services.chassis.errors import Bug, Unavailable
from services.chassis.memory import MemoryBroker
from services.journal import publish
from services.journal.adapters.memory import MemoryLog
from services.journal.publish import RUN_BYTES, RUN_EVENTS, Publisher, run_message, runs
from tests.shared.log import a_stream, command, entry

NOW = datetime(2026, 1, 1, tzinfo=UTC)
SOON_S = 5.0


def row(position: int, type_: str = "a.a", size: int = 10) -> dict:
    return {
        "position": position,
        "event_id": f"id-{position}",
        "stream": "s/1",
        "version": position,
        "type": type_,
        "schema_version": 1,
        "data": b'"' + b"x" * size + b'"',
        "meta": b"{}",
        "recorded_at": NOW,
    }


@given(st.lists(st.sampled_from([1, 1000, 60_000, 200_000]), max_size=60), st.integers(1, 10**9))
def test_runs_hold_every_row_once_in_order_and_stay_small(sizes, first):
    rows = [row(first + n, size=size) for n, size in enumerate(sizes)]
    cut = list(runs(rows))
    assert [r["position"] for part, _ in cut for r in part] == [r["position"] for r in rows]
    for part, body in cut:
        assert [item["position"] for item in orjson.loads(body)] == [r["position"] for r in part]
        assert len(part) <= RUN_EVENTS
        assert len(part) == 1 or len(body) <= RUN_BYTES


def test_a_run_is_full_to_the_byte_and_never_beyond():
    lone = len(list(runs([row(1, size=0)]))[0][1])
    fits, too_large = RUN_BYTES - 2 * lone + 1, RUN_BYTES - 2 * lone + 2
    assert [len(body) for _, body in runs([row(1, size=fits), row(2, size=0)])] == [RUN_BYTES]
    assert len(list(runs([row(1, size=too_large), row(2, size=0)]))) == 2


def test_a_run_is_cut_at_five_hundred_events():
    assert [len(part) for part, _ in runs([row(n) for n in range(1, 1202)])] == [500, 500, 201]


def test_a_run_says_what_it_holds_and_goes_to_each_of_its_types():
    key, message = run_message([row(7, "b.b"), row(8, "a.a"), row(9, "b.b")], b"[]")
    assert (key, message.copies_to) == ("b.b", ("a.a",))
    assert (message.headers["from"], message.headers["to"]) == (7, 9)
    assert message.headers["types"] == ["b.b", "a.a"]


class Clock(SystemClock):
    """A monotonic clock that moves when told."""

    seconds = 100.0

    def monotonic(self) -> float:
        return self.seconds


async def a_log(count: int) -> MemoryLog:
    log = MemoryLog(SystemClock())
    await log.append([command(entry(a_stream())) for _ in range(count)])
    return log


async def test_a_publisher_outlives_a_broker_that_is_away(monkeypatch):
    monkeypatch.setattr(publish, "RETRY_S", 0.01)
    broker, log = MemoryBroker(), await a_log(1200)
    publisher = Publisher(broker.bus("journal"), log, SystemClock())
    inbox = await broker.bus("scheduler").follow("scheduler")
    broker.is_up = False
    running = asyncio.create_task(publisher.run())
    publisher.wake()
    await asyncio.sleep(0.05)
    assert not running.done()
    broker.is_up = True
    async with asyncio.timeout(SOON_S):
        while await log.cursor() != 1200:
            await asyncio.sleep(0.01)
    spans = [(await inbox.next(SOON_S)).headers for _ in range(3)]
    assert [(span["from"], span["to"]) for span in spans] == [(1, 500), (501, 1000), (1001, 1200)]
    running.cancel()


async def test_what_cannot_be_confirmed_does_not_move_the_cursor():
    broker, log = MemoryBroker(), await a_log(600)
    broker.is_up = False
    with pytest.raises(Unavailable):
        await Publisher(broker.bus("journal"), log, SystemClock()).publish_all()
    assert await log.cursor() == 0


class Slow:
    """A bus over which so many runs come through in time, and no more."""

    def __init__(self, bus, in_time: int) -> None:
        self._bus, self.left = bus, in_time

    async def publish(self, exchange, key, message, *, mandatory):
        self.left -= 1
        if self.left < 0:
            await asyncio.sleep(0.01)
            raise Unavailable("not confirmed in time")
        await self._bus.publish(exchange, key, message, mandatory=mandatory)


async def test_what_was_confirmed_before_one_that_was_not_is_not_published_again():
    broker, log = MemoryBroker(), await a_log(2200)
    inbox = await broker.bus("scheduler").follow("scheduler")
    slow = Slow(broker.bus("journal"), 2)
    publisher = Publisher(slow, log, SystemClock())
    for reached in (1000, 2000):
        slow.left = 2
        with pytest.raises(Unavailable):
            await publisher.publish_all()
        assert await log.cursor() == reached
    slow.left = 2
    await publisher.publish_all()
    assert await log.cursor() == 2200
    spans = [(await inbox.next(SOON_S)).headers for _ in range(5)]
    assert [span["from"] for span in spans] == [1, 501, 1001, 1501, 2001]


async def test_only_so_many_bytes_wait_for_their_confirms_at_once(monkeypatch):
    monkeypatch.setattr(publish, "AT_ONCE_BYTES", 300_000)
    log, waiting, most = await a_log(1200), 0, 0

    class Counting:
        async def publish(self, *_, **__):
            nonlocal waiting, most
            waiting += 1
            most = max(most, waiting)
            await asyncio.sleep(0)
            waiting -= 1

    await Publisher(Counting(), log, SystemClock()).publish_all()
    assert await log.cursor() == 1200
    assert most < len(list(runs(log._rows)))


@settings(deadline=None)
@given(st.lists(st.integers(0, 100), max_size=12))
def test_what_is_published_at_once_is_all_of_it_in_order_and_bounded(sizes):
    some = [([row(n)], bytes(size * 50_000)) for n, size in enumerate(sizes)]
    cut = list(publish.at_once(some))
    assert [run for together in cut for run in together] == some
    for together in cut:
        size = sum(len(body) for _, body in together)
        assert len(together) == 1 or size <= publish.AT_ONCE_BYTES


async def test_standing_by_nothing_is_published_while_the_cursor_moves():
    log, clock = await a_log(10), Clock()
    publisher = Publisher(MemoryBroker().bus("journal"), log, clock)
    for position in range(1, 9):
        assert not await publisher._was_left_lying()
        clock.seconds += publish.STANDBY_PATIENCE_S - 1
        assert await log.move_cursor(position - 1, position, "")
    clock.seconds += 1
    assert not await publisher._was_left_lying()
    clock.seconds += publish.STANDBY_PATIENCE_S
    assert await publisher._was_left_lying()


async def test_a_hole_in_the_log_is_never_published():
    log = await a_log(3)
    del log._rows[1]
    with pytest.raises(Bug, match="not dense"):
        await Publisher(MemoryBroker().bus("journal"), log, SystemClock()).publish_all()
