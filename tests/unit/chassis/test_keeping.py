"""Keeping a state: now and then, at moments without work, and never in the way of the fold."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest

from services.chassis import frozen, keeping
from services.chassis.clock import SystemClock
from services.chassis.errors import Unavailable
from services.chassis.keeping import CATCHING_UP, KEPT, Keeper, Pace
from services.chassis.snapshots import MOST_KEPT, Found, Manifest

SOON_S = 10.0


@dataclass
class State:
    names: dict[str, Any] = field(default_factory=lambda: {f"n{k}": k for k in range(5000)})


class Shelves:
    """A shelf that keeps manifests only, or fails as it is told to."""

    def __init__(self) -> None:
        self.fingerprint = "f"
        self.kept: list[Manifest] = []
        self.others: list[Manifest] = []
        self.fails: list[Exception] = []

    async def find(self, **_: Any) -> Found:
        return Found(self.others, [], 0, None)

    async def put(self, said: Manifest, packed: bytes, *, kept: int) -> Manifest:
        if self.fails:
            raise self.fails.pop()
        self.kept.append(said)
        return said


def manifest(position: int) -> Manifest:
    return Manifest("u", "f", position, "id", 1, ())


class World:
    """A keeper with a follower that says what it is told to say."""

    def __init__(self, pace: Pace) -> None:
        self.state = State()
        self.follower: Any = SimpleNamespace(
            position=0,
            anchor=(0, ""),
            caught_up=True,
            telemetry_since=None,
            types=frozenset({"a.a"}),
        )
        self.keeper = Keeper(SimpleNamespace(), "s", self.state, SystemClock(), pace=pace)
        self.shelf = self.keeper._shelf = Shelves()
        self.running = asyncio.create_task(self.keeper.run(self.follower))

    async def fold(self, count: int) -> None:
        for _ in range(count):
            event: Any = SimpleNamespace(position=self.keeper._folded[0] + 1, event_id="id")
            async with self.keeper.folding([event]):
                pass

    async def kept(self, count: int) -> list[int]:
        async with asyncio.timeout(SOON_S):
            while len(self.shelf.kept) < count:
                await asyncio.sleep(0.005)
        return [each.position for each in self.shelf.kept]


@pytest.fixture
async def world(monkeypatch):
    monkeypatch.setattr(keeping, "LEAST_S", 0.0)
    made = []

    def make(pace: Pace) -> World:
        made.append(World(pace))
        return made[-1]

    yield make
    for each in made:
        each.running.cancel()
        await asyncio.wait({each.running})


async def test_it_is_kept_after_so_many_events_and_not_before(world):
    it = world(Pace(every_events=8, every_s=3600.0))
    await it.fold(7)
    await asyncio.sleep(0.1)
    assert not it.shelf.kept
    await it.fold(4)
    assert await it.kept(1) == [11]


async def test_however_much_happens_it_is_not_kept_all_the_time(world, monkeypatch):
    it = world(Pace(every_events=1, every_s=3600.0))
    monkeypatch.setattr(keeping, "LEAST_S", 3600.0)
    await it.fold(50)
    await asyncio.sleep(0.1)
    assert not it.shelf.kept
    monkeypatch.setattr(keeping, "LEAST_S", 0.1)
    await it.fold(1)
    await it.kept(1)


async def test_it_is_kept_after_a_while_if_anything_was_recorded_meanwhile(world):
    it = world(Pace(every_events=1000, every_s=0.05))
    await asyncio.sleep(0.15)
    assert not it.shelf.kept
    it.follower.anchor = (500, "of another's type")
    assert await it.kept(1) == [500]
    await asyncio.sleep(0.15)
    assert len(it.shelf.kept) == 1


async def test_while_history_is_read_it_is_kept_more_rarely(world):
    it = world(Pace(every_events=4, every_s=3600.0))
    it.follower.caught_up = False
    await it.fold(4 * CATCHING_UP - 1)
    await asyncio.sleep(0.1)
    assert not it.shelf.kept
    await it.fold(2 * CATCHING_UP)
    assert len(await it.kept(1)) == 1


async def test_a_large_state_is_kept_the_more_rarely_and_fewer_of_it(world, monkeypatch):
    monkeypatch.setattr(keeping, "BYTES_PER_EVENT", 1000)
    it = world(Pace(every_events=8, every_s=3600.0))
    await it.fold(11)
    await it.kept(1)
    due = it.keeper._packed_bytes // 1000
    assert due > 11
    await it.fold(due - 1)
    await asyncio.sleep(0.1)
    assert len(it.shelf.kept) == 1
    await it.fold(1)
    await it.kept(2)


def test_as_many_are_kept_as_find_room():
    pace = Pace(kept=48, room_bytes=100_000_000)
    assert [pace.kept_of(size) for size in (1_000, 100_000, 50_000_000)] == [MOST_KEPT, 1000, 48]
    assert Pace().kept_of(1) == KEPT


async def test_it_gives_way_to_the_fold_and_in_the_end_is_kept_all_the_same(world, monkeypatch):
    monkeypatch.setattr(frozen, "SLICE_S", 0.0)
    monkeypatch.setattr(keeping, "QUIET_S", 0.0)
    it = world(Pace(every_events=1, every_s=3600.0))
    attempts = []
    freeze = it.keeper._freeze

    async def counted(follower, *, is_polite):
        attempts.append((is_polite, await freeze(follower, is_polite=is_polite)))
        return attempts[-1][1]

    monkeypatch.setattr(it.keeper, "_freeze", counted)
    async with asyncio.timeout(SOON_S):
        while not it.shelf.kept:
            await it.fold(1)
            await asyncio.sleep(0)
    given_way = [kept for _, kept in attempts]
    assert given_way[0] is False
    assert [polite for polite, _ in attempts[:4]] == [True, True, True, False][: len(attempts[:4])]
    assert True in given_way[:4]


async def test_what_another_process_kept_need_not_be_kept_again(world):
    it = world(Pace(every_events=100, every_s=3600.0))
    it.shelf.others = [manifest(100)]
    await it.fold(130)
    await asyncio.sleep(0.2)
    assert not it.shelf.kept
    it.shelf.others = []
    await it.fold(130)
    assert await it.kept(1) == [260]


async def test_a_journal_that_does_not_answer_is_asked_again_later(world):
    it = world(Pace(every_events=2, every_s=3600.0))
    it.shelf.fails = [Unavailable("no answer")]
    await it.fold(4)
    async with asyncio.timeout(SOON_S):
        while it.shelf.fails:
            await asyncio.sleep(0.005)
    await it.fold(4)
    assert await it.kept(1) == [8]


async def test_a_state_that_cannot_be_frozen_ends_the_snapshots_and_not_the_service(world):
    it = world(Pace(every_events=1, every_s=3600.0))
    it.state.names["n1"] = object()
    await it.fold(4)
    async with asyncio.timeout(SOON_S):
        await asyncio.wait({it.running})
    assert it.running.exception() is None
    await it.fold(4)


async def test_switched_off_nothing_is_kept_or_used(world):
    it = world(Pace(every_events=0))
    assert await it.keeper.restore(it.follower) is None
    await it.fold(4)
    async with asyncio.timeout(SOON_S):
        await asyncio.wait({it.running})
    assert not it.shelf.kept
