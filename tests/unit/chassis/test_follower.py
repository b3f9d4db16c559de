"""The follower: whatever the broker loses, doubles or reorders, every event once and in order."""

import asyncio
from datetime import UTC, datetime

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.chassis import follower as module
from services.chassis import wire
from services.chassis.clock import SystemClock
from services.chassis.errors import Bug, Refused, Unavailable
from services.chassis.follower import Follower, ahead

NOW = datetime(2026, 1, 1, tzinfo=UTC).isoformat()
TYPES = frozenset({"a.a"})


def event(position: int, type_: str) -> bytes:
    row = {
        "position": position,
        "event_id": f"id-{position}",
        "stream": "s/1",
        "version": position,
        "type": type_,
        "schema_version": 1,
        "data": b"{}",
        "meta": b'{"actor":"a","occurred_at":"","proposer":"p"}',
        "recorded_at": datetime(2026, 1, 1, tzinfo=UTC),
    }
    return wire.recorded_bytes(row)


class Delivery:
    def __init__(self, routing_key: str, headers: dict, body: bytes = b"{}") -> None:
        self.routing_key, self.headers, self.body = routing_key, headers, body
        self.user_id: str | None = "journal"

    def signed(self, user_id: str | None):
        self.user_id = user_id
        return self


class Broker:
    """A log, and a bus that brings its runs as badly as it is told to."""

    def __init__(self, types: list[str], page: int = 3) -> None:
        self.types, self.page = types, page
        self.inboxes: list[list[list[Delivery]]] = []
        self.questions = 0

    def run(self, first: int, last: int) -> Delivery:
        types = [self.types[position - 1] for position in range(first, last + 1)]
        body = wire.encode_run(event(first + n, type_) for n, type_ in enumerate(types))
        headers = {"from": first, "to": last, "types": sorted(set(types)), "now": NOW}
        return Delivery(types[0], headers, body)

    def beacon(self, head: int) -> Delivery:
        return Delivery(wire.BEACON, {"head": head, "now": NOW})

    async def follow(self, service: str):
        if not self.inboxes:
            raise Unavailable("no more")
        return Inbox(self.inboxes.pop(0))

    async def ask(self, exchange, key, body, *, timeout_s):
        self.questions += 1
        question = orjson.loads(body)
        wanted = [
            position
            for position in range(question["after"] + 1, len(self.types) + 1)
            if self.types[position - 1] in question["types"]
        ]
        found = wanted[: self.page]
        through = len(self.types) if len(wanted) <= self.page else found[-1]
        page = wire.encode_run(event(position, self.types[position - 1]) for position in found)
        return {"through": through, "head": len(self.types), "now": NOW}, page


class Inbox:
    """Brings deliveries in bursts; after the last one the connection is lost."""

    def __init__(self, bursts: list[list[Delivery]]) -> None:
        self.bursts = bursts
        self.closed = False

    async def next(self, timeout_s=None):
        while self.bursts and not self.bursts[0]:
            self.bursts.pop(0)
        if not self.bursts:
            raise Unavailable("lost")
        return self.bursts[0].pop(0)

    def ready(self) -> int:
        return len(self.bursts[0]) if self.bursts else 0

    async def close(self) -> None:
        self.closed = True


@st.composite
def worlds(draw):
    """Return a log's types, and what each connection brings: runs cut anyhow, in any order."""
    types = draw(st.lists(st.sampled_from(["a.a", "b.b"]), min_size=1, max_size=30))
    connections = []
    for _ in range(draw(st.integers(1, 3))):
        deliveries = []
        for _ in range(draw(st.integers(0, 12))):
            first = draw(st.integers(1, len(types)))
            last = draw(st.integers(first, len(types)))
            deliveries.append((first, last, draw(st.booleans())))
        if draw(st.booleans()):
            deliveries.sort()
        connections.append((deliveries, draw(st.integers(1, 5))))
    return types, connections, draw(st.integers(1, 5))


async def followed(broker: Broker) -> Follower:
    """Follow until the last connection is lost, and check what came."""

    class Over(Exception):
        pass

    class Clock(SystemClock):
        async def sleep(self, seconds: float) -> None:
            if not broker.inboxes:
                raise Over

    follower = Follower(broker, "scheduler", TYPES, Clock())
    seen: list[int] = []

    async def fold() -> None:
        async for batch in follower.batches():
            assert follower.position < batch[0].position
            seen.extend(event.position for event in batch)

    with pytest.raises(Over):
        await fold()
    wanted = [n for n, type_ in enumerate(broker.types, 1) if type_ in TYPES]
    assert seen == wanted[: len(seen)]
    assert [n for n in wanted if n <= follower.position] == seen
    return follower


@settings(max_examples=150)
@given(worlds())
async def test_every_event_comes_once_and_in_order_whatever_the_broker_does(world):
    types, connections, page = world
    broker = Broker(types, page)
    for deliveries, burst in connections:
        made = [
            broker.beacon(last) if is_beacon else broker.run(first, last)
            for first, last, is_beacon in deliveries
        ]
        broker.inboxes.append([made[n : n + burst] for n in range(0, len(made), burst)])
    follower = await followed(broker)
    assert follower.position == len(types)


@given(st.data())
async def test_what_is_recorded_while_following_is_found_though_its_run_is_lost(data):
    """The log grows between deliveries; only the last beacon is sure to come."""
    broker = Broker(["a.a"])

    def grown(deliveries: list[Delivery]):
        for delivery in deliveries:
            broker.types += ["a.a"] * data.draw(st.integers(0, 3))
            yield delivery

    class Growing(Inbox):
        def __init__(self) -> None:
            super().__init__([])
            self.left = data.draw(st.integers(0, 6))

        async def next(self, timeout_s=None):
            if self.left < 0:
                raise Unavailable("lost")
            self.left -= 1
            broker.types += data.draw(st.lists(st.sampled_from(["a.a", "b.b"]), max_size=4))
            head = len(broker.types)
            first = data.draw(st.integers(1, head))
            if self.left < 0 or data.draw(st.booleans()):
                return broker.beacon(head)
            return broker.run(first, data.draw(st.integers(first, head)))

        def ready(self) -> int:
            return 0

    async def follow(service: str):
        broker.inboxes.clear()
        return Growing()

    broker.inboxes = [[]]
    broker.follow = follow
    follower = await followed(broker)
    assert follower.position == len(broker.types)


async def test_a_run_without_its_types_is_passed_over_undecoded():
    broker = Broker(["b.b"])
    sealed = broker.run(1, 1)
    sealed.body = b"not even JSON"
    broker.types = []
    broker.inboxes = [[[sealed]]]
    broker.types = ["b.b"]
    follower = await followed(broker)
    assert follower.position == 1


@pytest.mark.parametrize("sender", ["scheduler", "", None])
async def test_a_run_or_beacon_the_journal_did_not_sign_changes_nothing(sender):
    broker = Broker(["a.a"])
    forged = [broker.run(1, 1).signed(sender), broker.beacon(99).signed(sender)]
    forged[0].headers |= {"from": 2, "to": 2}
    broker.inboxes = [[[forged[0], broker.beacon(1), forged[1]], [forged[1]]]]
    follower = await followed(broker)
    assert (follower.position, follower.head, follower.dropped) == (1, 1, 3)


async def test_what_others_send_does_not_break_the_journals_silence(monkeypatch):
    monkeypatch.setattr(module, "SILENCE_S", 0.05)

    class Chatty(Inbox):
        async def next(self, timeout_s=None):
            if timeout_s == 0.0:
                return None
            await asyncio.sleep(0.001)
            return broker.beacon(7).signed("scheduler")

    broker = Broker(["a.a"])
    chatty = Chatty([])

    async def follow(service: str):
        return chatty

    broker.follow, broker.inboxes = follow, []
    async with asyncio.timeout(20):
        follower = await followed(broker)
    assert chatty.closed
    assert follower.head == 1


async def test_a_closed_follower_closes_its_inbox():
    broker = Broker(["a.a"] * 10)
    inbox = Inbox([[]])

    async def follow(service: str):
        return inbox

    broker.follow = follow
    batches = Follower(broker, "scheduler", TYPES, SystemClock()).batches()
    await anext(batches)
    await batches.aclose()
    assert inbox.closed
    await asyncio.sleep(0)


async def test_a_journal_not_yet_there_is_waited_for_and_a_bad_question_is_a_bug():
    broker = Broker(["a.a"])

    async def nobody(*_, **__):
        raise Refused("nobody is bound")

    broker.ask = nobody
    follower = Follower(broker, "scheduler", TYPES, SystemClock())
    with pytest.raises(Unavailable):
        await follower.history(TYPES, 0)

    async def complains(*_, **__):
        return {"error": "types: too long"}, b"{}"

    broker.ask = complains
    with pytest.raises(Bug, match="too long"):
        await follower.history(TYPES, 0)


async def test_who_has_folded_more_than_the_log_has_now_goes_no_further():
    broker = Broker(["a.a"] * 3)
    broker.inboxes = [[]]
    follower = Follower(broker, "scheduler", TYPES, SystemClock())
    follower.begin_at(5, "id-5", None)
    with pytest.raises(Bug, match=r"ends at 3, 5 was folded already.*started again"):
        async with asyncio.timeout(20):
            await anext(follower.batches())
    assert (follower.position, follower.anchor, follower.live) == (5, (5, "id-5"), False)


async def test_an_answer_older_than_what_was_folded_while_it_came_is_no_rewind():
    broker = Broker(["a.a"] * 3)
    follower = Follower(broker, "scheduler", TYPES, SystemClock())
    follower.begin_at(2, "", None)
    answer = broker.ask

    async def slowly(*args, **how):
        headers = await answer(*args, **how)
        follower.position = 7
        return headers

    broker.ask = slowly
    assert (await follower.history(TYPES, 0))[0] == 3
    follower.position = 3
    assert (await follower.history(TYPES, 1_000_000))[1] == []  # anybody may ask for that


async def test_three_missed_beacons_end_a_connection(monkeypatch):
    monkeypatch.setattr(module, "SILENCE_S", 0.01)

    class Silent(Inbox):
        async def next(self, timeout_s=None):
            await asyncio.sleep(timeout_s)

    broker = Broker(["a.a"])
    silent = Silent([])

    async def follow(service: str):
        return silent

    broker.follow, broker.inboxes = follow, []
    follower = await followed(broker)
    assert (silent.closed, follower.caught_up) == (True, False)


async def test_the_first_page_is_on_its_way_before_anybody_asks_for_it_and_the_rest_comes_too():
    broker = Broker(["a.a"] * 8)
    follower = Follower(broker, "s", TYPES, SystemClock())
    follower.begin_at(2, "", None)
    async with ahead(follower.through(8)) as pages:
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert broker.questions == 1
        assert [each.position for page in [page async for page in pages] for each in page] == [
            *range(3, 9)
        ]
    async with ahead(follower.through(8)) as pages:
        assert [page async for page in pages] == []  # it stands there already


async def test_what_is_begun_ahead_fails_where_it_is_wanted_and_nowhere_else():
    class Gone(Broker):
        async def ask(self, *_, **__):
            raise Unavailable("gone")

    follower = Follower(Gone(["a.a"]), "s", TYPES, SystemClock())
    follower.begin_at(0, "", None)
    async with ahead(follower.through(1)):
        await asyncio.sleep(0.01)
    async with ahead(follower.through(1)) as pages:
        with pytest.raises(Unavailable):
            await anext(pages)
