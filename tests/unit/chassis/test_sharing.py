"""Reads that are shared: few, never older than the question, and each failure its own."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from services.chassis.sharing import Shared


@dataclass
class Thing:
    """Something that changes with each look, and takes its time to be read."""

    seen: int = 0
    reads: list[int] = field(default_factory=list)
    slow: asyncio.Event = field(default_factory=asyncio.Event)

    async def read(self) -> int:
        self.seen += 1
        self.reads.append(self.seen)
        mine = self.seen
        await self.slow.wait()
        return mine


async def _asked(shared: Shared[int], thing: Thing, of: str = "page") -> asyncio.Task[int]:
    task = asyncio.create_task(shared.read(of, thing.read))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    return task


async def test_all_who_ask_while_one_reads_share_the_next_read():
    shared, thing = Shared[int](), Thing()
    first = await _asked(shared, thing)
    later = [await _asked(shared, thing) for _ in range(20)]
    assert thing.reads == [1]
    thing.slow.set()
    assert await first == 1
    assert await asyncio.gather(*later) == [2] * 20
    assert thing.reads == [1, 2]


async def test_different_things_do_not_wait_for_each_other():
    shared, thing = Shared[int](), Thing()
    one, two = await _asked(shared, thing, "one"), await _asked(shared, thing, "two")
    assert thing.reads == [1, 2]
    thing.slow.set()
    assert (await one, await two) == (1, 2)


async def test_a_stuck_read_holds_up_the_next_one_for_a_moment_only():
    shared, thing = Shared[int](wait_s=0.01), Thing()
    stuck = await _asked(shared, thing)
    second = await _asked(shared, thing)
    while len(thing.reads) < 2:
        await asyncio.sleep(0.01)
    assert not stuck.done()
    third = await _asked(shared, thing)
    thing.slow.set()
    assert [await stuck, await second, await third] == [1, 2, 3]
    assert (shared._running, shared._next) == ({}, {})


async def test_who_stops_waiting_stops_nobody_else():
    shared, thing = Shared[int](), Thing()
    gone, stays = await _asked(shared, thing), await _asked(shared, thing)
    also = await _asked(shared, thing)
    gone.cancel()
    stays.cancel()
    thing.slow.set()
    assert await also == 2


async def test_a_failure_is_told_to_who_shared_it_and_to_nobody_later():
    shared, calls = Shared[int](), 0

    async def read() -> int:
        nonlocal calls
        calls += 1
        await asyncio.sleep(0)
        if calls == 1:
            raise ConnectionError("refused")
        return calls

    first = asyncio.create_task(shared.read("page", read))
    await asyncio.sleep(0)
    second = asyncio.create_task(shared.read("page", read))
    with pytest.raises(ConnectionError):
        await first
    assert await second == 2


@settings(max_examples=40, deadline=None)
@given(some.lists(some.tuples(some.integers(0, 5), some.integers(0, 2)), max_size=30))
async def test_nobody_is_given_what_was_read_before_they_asked(steps):
    """Whatever the order of asking and of turns of the loop: the answer is of now or later."""
    shared, written = Shared[int](), 0

    async def read() -> int:
        found = written
        for _ in range(3):
            await asyncio.sleep(0)
        return found

    async def ask(of: int) -> None:
        least = written
        assert await shared.read(of, read) >= least

    asking = []
    for turns, of in steps:
        written += 1
        asking.append(asyncio.create_task(ask(of)))
        for _ in range(turns):
            await asyncio.sleep(0)
    await asyncio.gather(*asking)
