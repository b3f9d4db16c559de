"""What snapshots must do: kept by the journal, used at a start, and of no weight when they fail."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import ClassVar
from unittest.mock import AsyncMock

import orjson
import pytest

from contracts.envelope import Draft
from contracts.events.environment import EnvironmentCreated
from contracts.events.queue import QueueSampled
from services.chassis import frozen, keeping, past, wire
from services.chassis.clock import LogClock, SystemClock
from services.chassis.errors import Refused
from services.chassis.folding import Folding
from services.chassis.follower import Follower
from services.chassis.frozen import Freezer, pack
from services.chassis.ids import uuid7
from services.chassis.keeping import Keeper, Pace
from services.chassis.past import Past
from services.chassis.proposer import Proposer
from services.chassis.snapshots import CHUNK_BYTES, Manifest, Shelf
from services.journal.records import Seal
from services.journal.snapshots import ANSWERED, Kept, Piece

SOON_S = 20.0
CLOCK = SystemClock()
SERVICE = "deployer"
OFTEN = Pace(every_events=4, every_s=0.2, kept=3)
NEVER = Pace(every_events=1_000_000, every_s=3600.0)


@dataclass
class Told:
    """A state that remembers all it was told; `mark` keeps tests apart."""

    TYPES: ClassVar[frozenset[str]] = frozenset({"environment.created", "queue.sampled"})
    mark: str = field(default="", metadata={"stored": False})
    seen: dict[int, str] = field(default_factory=dict)
    lengths: list[int] = field(default_factory=list)

    def apply(self, event) -> None:
        if event.type == "queue.sampled":
            self.lengths.append(event.data["length"])
        else:
            self.seen[event.position] = event.data["name"]


class Process:
    """A process of a service: follows, folds, keeps."""

    def __init__(self, bus, state: Told, pace: Pace, window_s: float | None = None) -> None:
        self.state, self.folded = state, 0
        follower = Follower(bus, SERVICE, Told.TYPES, CLOCK, telemetry_window_s=window_s)
        self.follower, self.keeper = follower, Keeper(bus, SERVICE, state, CLOCK, pace=pace)
        self.folding = Folding(
            follower, self._apply, LogClock(CLOCK), service=SERVICE, keeper=self.keeper
        )
        self.running = asyncio.create_task(self.folding.run())

    def _apply(self, event) -> None:
        self.folded += 1
        self.state.apply(event)

    async def caught_up(self) -> Process:
        async with asyncio.timeout(SOON_S):
            await self.folding.caught_up()
        return self

    async def close(self) -> None:
        self.running.cancel()
        with suppress(asyncio.CancelledError):
            await self.running


def created(name: str) -> Draft:
    environment_id = uuid7()
    event = EnvironmentCreated(environment_id=environment_id, name=name)
    return Draft(f"environment/{environment_id}", event)


def sampled(length: int) -> Draft:
    event = QueueSampled(model_id="m", length=length, ready=length, unacknowledged=0)
    return Draft("queue-samples/m", event)


class SnapshotSuite:
    """Subclass it, and give `connect` (a service's bus), `log`, and a running `journal`."""

    @pytest.fixture(autouse=True)
    def as_often_as_it_is_told_to(self, monkeypatch):
        monkeypatch.setattr(keeping, "BYTES_PER_EVENT", 10_000)
        monkeypatch.setattr(keeping, "LEAST_S", 0.0)

    @pytest.fixture
    async def buses(self, connect, journal):
        made = []

        async def make(service: str):
            made.append(await connect(service))
            return made[-1]

        yield make
        for bus in made:
            await bus.close()

    @pytest.fixture
    async def bus(self, buses):
        return await buses(SERVICE)

    @pytest.fixture
    async def tell(self, buses):
        gateway = Proposer(await buses("gateway"), "gateway", CLOCK)

        async def tell(*names: str) -> int:
            accepted = await gateway.propose_all([[created(name)] for name in names])
            return accepted[-1].position

        return tell

    @pytest.fixture
    def mark(self) -> str:
        return uuid7()

    @pytest.fixture
    async def start(self, bus, mark):
        made: list[Process] = []

        async def start(pace: Pace = NEVER, *, state: Told | None = None, **how) -> Process:
            made.append(Process(bus, state or Told(mark), pace, **how))
            return await made[-1].caught_up()

        yield start
        for process in made:
            await process.close()

    @pytest.fixture
    def shelf(self, bus, mark):
        return Shelf(bus, Freezer(SERVICE, Told(mark)).fingerprint)

    async def kept(self, shelf: Shelf, at_least: int) -> Manifest:
        """Return the newest snapshot once it is of that position or a later one."""
        async with asyncio.timeout(SOON_S):
            while True:
                found = await shelf.find(telemetry=True)
                if found.manifests and found.manifests[0].position >= at_least:
                    return found.manifests[0]
                await asyncio.sleep(0.02)

    async def test_a_restart_folds_only_what_came_after_the_snapshot(self, start, tell, shelf):
        await tell(*"abcdefgh")
        first = await start(OFTEN)
        manifest = await self.kept(shelf, await tell("i"))
        await first.close()
        last = await tell("j", "k")
        second = await start()
        assert second.state == await self.from_the_start(start)
        assert list(second.state.seen.values())[-2:] == ["j", "k"]
        assert second.folded == sum(1 for p in second.state.seen if manifest.position < p <= last)
        assert second.folding.position >= last

    async def from_the_start(self, start) -> Told:
        """Return what a process without snapshots folds now."""
        process = await start(replace(NEVER, every_events=0))
        assert process.folded == len(process.state.seen) + len(process.state.lengths)
        return process.state

    async def test_deleting_snapshots_changes_nothing_but_time(self, start, tell, shelf, log):
        await tell(*"abcd")
        first = await start(OFTEN)
        await self.kept(shelf, await tell("e"))
        await first.close()
        kept = await log.snapshots(SERVICE, shelf.fingerprint)
        await log.drop_snapshots(SERVICE, shelf.fingerprint, [each.upload for each in kept])
        again = await start()
        assert again.state == await self.from_the_start(start)
        assert again.folded > 0

    @pytest.mark.parametrize("damage", ["flipped", "cut", "gone", "of another length", "nonsense"])
    async def test_a_damaged_snapshot_is_passed_over_and_said_so(
        self, start, tell, shelf, log, damage, caplog, capsys
    ):
        position = await tell(*"abcd")
        packed, plain_bytes = pack(Freezer(SERVICE, Told("other")).freeze(Told("other")))
        if damage == "nonsense":
            packed, plain_bytes = pack([b'["quartermaster"]', b"{"])
        event_id = (await log.read(position - 1, 1))[0]["event_id"]
        said = Manifest("", shelf.fingerprint, position, event_id, plain_bytes, ())
        if damage == "of another length":
            said = replace(said, plain_bytes=plain_bytes + 1)
        manifest = await shelf.put(said, packed, kept=3)
        piece = Piece(upload=manifest.upload, number=0)
        if damage == "flipped":
            await log.put_chunk(SERVICE, piece, bytes([packed[0] ^ 1]) + packed[1:])
        elif damage == "cut":
            await log.put_chunk(SERVICE, piece, packed[:-1])
        elif damage == "gone":
            await self.forget(log, manifest.upload)
        process = await start()
        assert process.state == await self.from_the_start(start)
        assert process.folded > 0
        said_so = capsys.readouterr().out + caplog.text
        assert "snapshot passed over" in said_so
        assert f"{position}" in said_so

    async def forget(self, log, upload: str) -> None:
        raise NotImplementedError

    async def test_with_the_newest_damaged_the_one_before_is_used(self, start, tell, shelf, log):
        first = await start(OFTEN)
        before = await self.kept(shelf, await tell(*"abcd"))
        newest = await self.kept(shelf, await tell(*"efghi"))
        await first.close()
        await log.put_chunk(SERVICE, Piece(upload=newest.upload, number=0), b"spoiled")
        process = await start()
        assert process.state == await self.from_the_start(start)
        assert before.position < newest.position
        assert 0 < process.folded <= sum(1 for p in process.state.seen if p > before.position)

    async def test_a_snapshot_of_another_log_is_refused(self, start, tell, shelf, log, mark):
        position = await tell(*"abcd")
        packed, plain_bytes = pack(Freezer(SERVICE, Told(mark)).freeze(Told(mark)))
        said = Manifest("", shelf.fingerprint, position, uuid7(), plain_bytes, ())
        with pytest.raises(Refused, match="does not hold this event"):
            await shelf.put(said, packed, kept=3)
        with pytest.raises(Refused, match="does not hold this event"):
            await shelf.put(replace(said, position=position + 10_000), packed, kept=3)
        await self.rewound(log, shelf, position)
        await self.rewound(log, shelf, position + 10_000)
        found = await shelf.find(telemetry=False)
        assert not found.manifests
        assert [each["position"] for each in found.refused] == [position + 10_000, position]
        assert all("rewound" in each["because"] for each in found.refused)
        assert not (await shelf.find(telemetry=False)).refused  # of use to nobody: they are gone
        process = await start()
        assert process.state == await self.from_the_start(start)

    async def rewound(self, log, shelf, position: int) -> None:
        """Keep a snapshot as it was before the log went back behind it and took another way."""
        kept = self.kept_row(position, uuid7(), uuid7())
        await log.keep_snapshot(SERVICE, shelf.fingerprint, kept)

    def kept_row(self, position: int, event_id: str, upload: str):
        return Kept(position, event_id, upload, 10, ("0" * 64,), None, CLOCK.now())

    async def test_a_snapshot_that_is_kept_twice_stays_and_another_one_there_is_not_kept(
        self, shelf, tell, log, mark
    ):
        position = await tell("a")
        packed, plain_bytes = pack(Freezer(SERVICE, Told(mark)).freeze(Told(mark)))
        event_id = (await log.read(position - 1, 1))[0]["event_id"]
        said = Manifest("", shelf.fingerprint, position, event_id, plain_bytes, ())
        first = await shelf.put(said, packed, kept=3)
        again = {name: getattr(first, name) for name in Manifest.__slots__ if name != "recorded_at"}
        _, answer = await shelf._ask("keep", {**again, "kept": 3})
        assert orjson.loads(answer) == {"is_new": True, "dropped": []}
        assert await shelf.fetch(first) == packed
        other = await shelf.put(said, packed, kept=3)
        with pytest.raises(Refused, match="no such chunk"):
            await shelf.fetch(other)
        assert [each.upload for each in (await shelf.find(telemetry=True)).manifests] == [
            first.upload
        ]

    async def test_what_was_not_put_whole_is_not_kept(self, bus, shelf, tell, log):
        position = await tell("a")
        event_id = (await log.read(position - 1, 1))[0]["event_id"]
        fields = {
            "fingerprint": shelf.fingerprint,
            "position": position,
            "event_id": event_id,
            "upload": uuid7(),
            "plain_bytes": 10,
            "digests": ["0" * 64],
        }
        with pytest.raises(Refused, match="digests"):
            await shelf._ask("keep", fields)
        with pytest.raises(Refused, match="bytes"):
            await shelf._ask("put", {"upload": uuid7(), "number": 0}, b"x" * (CHUNK_BYTES + 1))
        with pytest.raises(Refused, match="number"):
            await shelf._ask("put", {"upload": uuid7(), "number": 9999}, b"x")
        with pytest.raises(Refused, match="fingerprint"):
            await Shelf(bus, "x").find(telemetry=False)

    async def test_nobody_reads_or_replaces_anothers_snapshots(self, buses, start, tell, shelf):
        first = await start(OFTEN)
        manifest = await self.kept(shelf, await tell(*"abcd"))
        await first.close()
        other = Shelf(await buses("scheduler"), shelf.fingerprint)
        assert not (await other.find(telemetry=False)).manifests
        with pytest.raises(Refused, match="no such chunk"):
            await other.fetch(manifest)
        with suppress(Refused):
            await other._ask("put", {"upload": manifest.upload, "number": 0}, b"spoiled")
        assert await shelf.fetch(manifest)

    async def test_a_large_state_travels_in_chunks(self, start, tell, shelf, mark):
        lots = "".join(uuid7() for _ in range(60_000))
        large = Told(
            mark,
            lengths=[int(lots[n : n + 12].replace("-", ""), 16) for n in range(0, len(lots), 7)],
        )
        position = await tell(*"abcd")
        first = await start(replace(OFTEN, every_events=1), state=large)
        manifest = await self.kept(shelf, max(position, await tell("e")))
        await first.close()
        assert len(manifest.digests) > 1
        process = await start()
        assert process.state.lengths == large.lengths

    async def test_a_fold_of_another_shape_or_configuration_ignores_it(
        self, start, tell, shelf, bus, mark
    ):
        first = await start(OFTEN)
        await self.kept(shelf, await tell(*"abcd"))
        await first.close()
        other = await start(state=Told(mark + "'"))
        others = Freezer(SERVICE, Told(mark + "'")).fingerprint
        assert (await Shelf(bus, others).find(telemetry=True)).of_other_folds > 0
        assert other.folded == len(other.state.seen) + len(other.state.lengths) > 0

    async def test_telemetry_is_whole_behind_a_snapshot_whatever_the_window_is(
        self, buses, start, tell, shelf
    ):
        sampler = Proposer(await buses("queue_sampler"), "queue_sampler", CLOCK)
        sampler.offer(*(sampled(n) for n in range(5)))
        await sampler.flush()
        await tell("a")
        first = await start(OFTEN, window_s=3600.0)
        assert first.state.lengths[-5:] == [0, 1, 2, 3, 4]
        manifest = await self.kept(shelf, await tell(*"abcd"))
        assert manifest.telemetry_since == first.follower.telemetry_since
        await first.close()
        sampler.offer(*(sampled(n) for n in range(5, 8)))
        await sampler.flush()
        await tell("b")
        # A start from history would not want any of it; behind a snapshot nothing is left out.
        second = await start(window_s=0.001)
        assert second.state.lengths[-8:] == list(range(8))
        assert second.follower.telemetry_since == manifest.telemetry_since
        # One that wants more telemetry than the snapshot was folded with reads history.
        third = await start(window_s=7200.0)
        assert third.folded == len(third.state.seen) + len(third.state.lengths)

    async def test_every_snapshot_is_the_fold_of_its_prefix_however_busy_the_log_is(
        self, start, tell, shelf, mark, log, monkeypatch
    ):
        # It waits for no quiet moment, and lets the fold in between any two lines.
        monkeypatch.setattr(keeping, "QUIET_S", 0.0)
        monkeypatch.setattr(frozen, "SLICE_S", 0.0)
        process = await start(Pace(every_events=2, every_s=0.05, kept=30))
        last = 0
        for number in range(40):
            last = await tell(*(f"{number}/{k}" for k in range(3)))
        await self.kept(shelf, last)
        await process.close()
        whole, snapshots = await start(), await log.snapshots(SERVICE, shelf.fingerprint)
        assert len(snapshots) > 2
        for kept in snapshots:
            thawed = Told(mark)
            manifest = Manifest(
                kept.upload, shelf.fingerprint, kept.position, "", kept.plain_bytes, kept.digests
            )
            packed = await shelf.fetch(manifest)
            await keeping.thaw(Freezer(SERVICE, thawed), manifest, packed, thawed, CLOCK)
            before = {p: name for p, name in whole.state.seen.items() if p <= kept.position}
            assert thawed.seen == before

    async def test_the_state_of_any_position_is_the_fold_of_its_prefix(
        self, start, tell, shelf, bus, mark
    ):
        first = await tell(*"abc")
        process = await start(OFTEN)
        await self.kept(shelf, await tell(*"defgh"))
        last = await tell(*"ijk")
        whole = (await start()).state
        then = Past(bus, SERVICE, lambda: Told(mark), CLOCK)
        for position in (last, first, last - 1, first - 1, *range(first, last + 1), 0):
            state = await then.at(position)
            assert state.seen == {p: name for p, name in whole.seen.items() if p <= position}
        assert await then.at(last) is await then.at(last)
        with pytest.raises(Refused, match="the newest is") as raised:
            await then.at(last + 1_000_000)
        assert raised.value.numbers["head"] >= last
        await process.close()

    async def test_a_past_state_begins_with_the_nearest_snapshot_that_is_whole(
        self, start, tell, shelf, bus, mark, log, monkeypatch
    ):
        process = await start(replace(OFTEN, every_events=1))
        before = await self.kept(shelf, await tell(*"abc"))
        newest = await self.kept(shelf, await tell(*"def"))
        await process.close()
        last = await tell("g")
        whole = (await start()).state
        asked = []
        answer = bus.ask

        async def noted(exchange, key, body, **how):
            asked.append(orjson.loads(body.partition(b"\n")[0]))
            return await answer(exchange, key, body, **how)

        monkeypatch.setattr(bus, "ask", noted)
        assert (await Past(bus, SERVICE, lambda: Told(mark), CLOCK).at(last)).seen == whole.seen
        assert [(each["op"], each.get("after")) for each in asked] == [
            ("snapshot.find", None),  # the snapshot is so small that it is all in this answer
            ("history", newest.position),
        ]
        asked.clear()
        await log.put_chunk(SERVICE, Piece(upload=newest.upload, number=0), b"spoiled")
        assert (await Past(bus, SERVICE, lambda: Told(mark), CLOCK).at(last)).seen == whole.seen
        begun = [each["after"] for each in asked if each["op"] == "history"]
        assert before.position <= begun[0] < newest.position

    async def test_a_past_state_behind_a_seal_is_not_kept(
        self, tell, shelf, bus, mark, log, monkeypatch
    ):
        monkeypatch.setattr(past, "WORTH_KEEPING", 3)
        position = await tell(*"abcde")
        sealed = [Seal(first=1, last=position + 1, events=1)]
        monkeypatch.setattr(log, "seals", AsyncMock(return_value=sealed))
        await Past(bus, SERVICE, lambda: Told(mark), CLOCK).at(position)
        assert await log.snapshots(SERVICE, shelf.fingerprint) == []

    async def test_a_past_state_that_took_long_is_kept_for_the_next_who_asks(
        self, tell, shelf, bus, mark, monkeypatch
    ):
        monkeypatch.setattr(past, "WORTH_KEEPING", 3)
        position = await tell(*"abcde")
        state = await Past(bus, SERVICE, lambda: Told(mark), CLOCK).at(position)
        found = await shelf.find(telemetry=True, at_most=position)
        assert found.manifests[0].position == position
        assert await Past(bus, SERVICE, lambda: Told(mark), CLOCK).at(position) == state

    async def test_the_newest_are_kept_and_no_more(self, start, tell, shelf, log):
        process = await start(replace(OFTEN, every_events=1, kept=3))
        for _ in range(6):
            await self.kept(shelf, await tell("a"))
        await process.close()
        async with asyncio.timeout(SOON_S):  # the last one is found before an older one goes
            while len(kept := await log.snapshots(SERVICE, shelf.fingerprint)) > 3:
                await asyncio.sleep(0.02)
        assert len(kept) == 3
        assert [each.position for each in kept] == sorted((k.position for k in kept), reverse=True)

    async def test_however_many_another_log_left_the_good_ones_before_them_are_found(
        self, start, tell, shelf, log
    ):
        process = await start(OFTEN)
        good = await self.kept(shelf, await tell(*"abcd"))
        await process.close()
        for number in range(2 * ANSWERED + 1):
            await self.rewound(log, shelf, good.position + 10_000 + number)
        found = await shelf.find(telemetry=False)
        assert found.manifests[0] == good
        assert len(found.refused) == 2 * ANSWERED + 1

    async def test_a_question_about_snapshots_says_what_is_wrong_with_it(self, bus):
        question = orjson.dumps({"op": "snapshot.find"})
        headers, _ = await bus.ask(wire.EXCHANGE_JOURNAL, wire.QUEUE_JOURNAL, question)
        assert "fingerprint" in headers["error"]
