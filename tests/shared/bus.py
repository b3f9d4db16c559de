"""What every bus must do, whether RabbitMQ or memory stands behind it."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from types import SimpleNamespace

import orjson
import pytest

from services.chassis import wire
from services.chassis.clock import SystemClock
from services.chassis.errors import Unavailable
from services.chassis.follower import Follower
from services.chassis.leadership import Leadership
from services.chassis.ports import Message
from services.chassis.proposer import Accepted

SOON_S = 5.0


async def received(inbox, count: int) -> list:
    return [await inbox.next(SOON_S) for _ in range(count)]


async def drained(inbox) -> None:
    while (delivery := await inbox.next(0.3)) is not None:
        await delivery.ack()


class BusSuite:
    """Subclass it, and give the fixture `connect`: a service's name → its bus."""

    @pytest.fixture
    async def buses(self, connect):
        made = []

        async def make(service: str):
            made.append(await connect(service))
            return made[-1]

        yield make
        for bus in made:
            await bus.close()

    async def propose(self, bus, *bodies: bytes) -> None:
        for body in bodies:
            await bus.publish(wire.EXCHANGE_PROPOSED, "proposal", Message(body), mandatory=True)

    async def test_proposals_arrive_in_order_with_their_true_sender(self, buses):
        gateway, journal = await buses("gateway"), await buses("journal")
        await self.propose(gateway, b"1", b"2", b"3")
        inbox = await journal.consume(wire.QUEUE_PROPOSED, prefetch=10)
        deliveries = await received(inbox, 3)
        assert [d.body for d in deliveries] == [b"1", b"2", b"3"]
        assert {d.user_id for d in deliveries} == {"gateway"}
        await deliveries[-1].ack(multiple=True)

    async def test_what_was_not_acknowledged_comes_again(self, buses):
        gateway, journal = await buses("gateway"), await buses("journal")
        inbox = await journal.consume(wire.QUEUE_PROPOSED, prefetch=10)
        await self.propose(gateway, b"a", b"b")
        first = await received(inbox, 2)
        await first[0].ack()
        await inbox.close()
        again = await journal.consume(wire.QUEUE_PROPOSED, prefetch=10)
        delivery = await again.next(SOON_S)
        assert (delivery.body, delivery.redelivered) == (b"b", True)
        await delivery.ack()

    async def test_only_one_of_two_journals_is_given_proposals(self, buses):
        gateway, one, two = await buses("gateway"), await buses("journal"), await buses("journal")
        active = await one.consume(wire.QUEUE_PROPOSED, prefetch=10)
        standby = await two.consume(wire.QUEUE_PROPOSED, prefetch=10)
        await self.propose(gateway, b"x", b"y")
        for delivery in await received(active, 2):
            await delivery.ack()
        assert await standby.next(0.2) is None
        await active.close()
        await self.propose(gateway, b"z")
        delivery = await standby.next(SOON_S)
        assert delivery.body == b"z"
        await delivery.ack()

    async def test_a_rejected_proposal_is_parked(self, buses, parked):
        gateway, journal = await buses("gateway"), await buses("journal")
        before = await parked()
        inbox = await journal.consume(wire.QUEUE_PROPOSED, prefetch=10)
        await self.propose(gateway, b"bad")
        await (await inbox.next(SOON_S)).reject()
        async with asyncio.timeout(SOON_S * 2):
            while await parked() != before + 1:
                await asyncio.sleep(0.05)

    async def test_what_waits_in_a_queue_is_counted(self, buses):
        gateway, journal = await buses("gateway"), await buses("journal")
        before = await journal.depth(wire.QUEUE_PARKED)
        await journal.publish("qm.parked", "parked", Message(b"x"), mandatory=True)
        async with asyncio.timeout(SOON_S * 2):
            while await journal.depth(wire.QUEUE_PARKED) != before + 1:
                await asyncio.sleep(0.05)
        with pytest.raises(Unavailable):
            await gateway.depth("there.is.none")
        assert await journal.depth(wire.QUEUE_PARKED) == before + 1

    async def test_a_question_is_answered_to_the_one_who_asked(self, buses):
        askers = [await buses("gateway"), await buses("scheduler")]
        journal = await buses("journal")
        inbox = await journal.consume(wire.QUEUE_JOURNAL, prefetch=10)

        async def answer_two() -> None:
            for delivery in await received(inbox, 2):
                await journal.answer(delivery, b"to " + delivery.body, {"n": 7})
                await delivery.ack()

        answering = asyncio.create_task(answer_two())
        answers = await asyncio.gather(
            *(
                asker.ask(wire.EXCHANGE_JOURNAL, wire.QUEUE_JOURNAL, body)
                for asker, body in zip(askers, (b"one", b"two"), strict=True)
            )
        )
        await answering
        assert [body for _, body in answers] == [b"to one", b"to two"]
        assert answers[0][0]["n"] == 7

    async def test_a_question_nobody_answers_is_unavailable(self, buses):
        asker, journal = await buses("gateway"), await buses("journal")
        with pytest.raises(Unavailable):
            await asker.ask(wire.EXCHANGE_JOURNAL, wire.QUEUE_JOURNAL, b"?", timeout_s=0.3)
        await drained(await journal.consume(wire.QUEUE_JOURNAL, prefetch=10))

    async def test_an_answer_to_one_who_has_gone_is_no_error(self, buses):
        asker, journal = await buses("gateway"), await buses("journal")
        inbox = await journal.consume(wire.QUEUE_JOURNAL, prefetch=10)
        with pytest.raises(Unavailable):
            await asker.ask(wire.EXCHANGE_JOURNAL, wire.QUEUE_JOURNAL, b"?", timeout_s=0.2)
        delivery = await inbox.next(SOON_S)
        await asker.close()
        await journal.answer(delivery, b"late", {})
        await delivery.ack()

    async def test_a_question_to_nobody_may_be_asked_again(self, buses):
        asker = await buses("gateway")
        with pytest.raises(Unavailable, match="nobody is bound"):
            await asker.ask(wire.EXCHANGE_PROPOSED, "no.such.key", b"?")

    async def test_a_follower_gets_each_run_once_however_many_types_it_has(self, buses):
        journal, follower = await buses("journal"), await buses("scheduler")
        inbox = await follower.follow("scheduler")
        run = Message(b"[]", {"from": 1, "to": 3}, copies_to=("b.b", "c.c"))
        await journal.publish(wire.EXCHANGE_RECORDED, "a.a", run, mandatory=False)
        delivery = await inbox.next(SOON_S)
        assert (delivery.headers["from"], delivery.headers["to"]) == (1, 3)
        assert await inbox.next(0.2) is None

    async def test_a_run_nobody_follows_is_no_error(self, buses):
        journal = await buses("journal")
        await journal.publish(wire.EXCHANGE_RECORDED, "a.a", Message(b"[]"), mandatory=False)

    async def test_only_one_is_told_to_lead_and_another_when_it_has_gone(self, buses):
        journal, one, two = (
            await buses("journal"),
            await buses("scheduler"),
            await buses("scheduler"),
        )
        active = await one.consume("scheduler.lead", prefetch=1)
        standby = await two.consume("scheduler.lead", prefetch=1)

        async def beacon() -> None:
            await journal.publish(
                wire.EXCHANGE_RECORDED, wire.BEACON, Message(b"{}"), mandatory=False
            )

        await beacon()
        await (await active.next(SOON_S)).ack()
        assert await standby.next(0.2) is None
        await active.close()
        await beacon()
        await (await standby.next(SOON_S)).ack()

    async def test_headers_and_body_arrive_as_sent(self, buses):
        journal, follower = await buses("journal"), await buses("scheduler")
        inbox = await follower.follow("scheduler", keys=("k.k",))
        body = orjson.dumps({"x": "🚀" * 1000})
        headers = {"types": ["a", "b"], "now": "2026-01-01T00:00:00+00:00", "to": 2**40}
        await journal.publish(
            wire.EXCHANGE_RECORDED, "k.k", Message(body, headers), mandatory=False
        )
        delivery = await inbox.next(SOON_S)
        assert delivery.body == body
        assert {name: delivery.headers[name] for name in headers} == headers

    async def test_a_follower_that_does_not_read_never_holds_up_the_journal(self, buses):
        journal, follower = await buses("journal"), await buses("scheduler")
        inbox = await follower.follow("scheduler")
        for number in range(300):
            run = Message(b"[]", {"from": number, "to": number})
            await journal.publish(wire.EXCHANGE_RECORDED, "a.a", run, mandatory=False)
        deliveries = await received(inbox, 300)
        assert [delivery.headers["from"] for delivery in deliveries] == list(range(300))

    async def test_a_follower_believes_the_journal_and_nobody_else(self, buses):
        journal, scheduler = await buses("journal"), await buses("scheduler")
        stranger = await buses("admin")  # one whom a broker lets publish what is the journal's
        asked = await journal.consume(wire.QUEUE_JOURNAL, prefetch=1)
        follower = Follower(scheduler, "scheduler", frozenset({"a.a"}), SystemClock())
        batches = follower.batches()
        reading = asyncio.create_task(anext(batches))
        question = await asked.next(SOON_S)
        await journal.answer(question, b"[]", {"through": 0, "head": 0})
        await question.ack()
        beacon = Message(b"{}", {"head": 99})
        await stranger.publish(wire.EXCHANGE_RECORDED, wire.BEACON, beacon, mandatory=False)
        for bus, stream in ((stranger, "thing/forged"), (journal, "thing/true")):
            await bus.publish(wire.EXCHANGE_RECORDED, "a.a", a_run(stream), mandatory=False)
        async with asyncio.timeout(SOON_S * 2):
            [event] = await reading
        assert (event.stream, follower.head, follower.dropped) == ("thing/true", 1, 2)
        await batches.aclose()

    async def test_nobody_leads_by_a_strangers_beacon(self, buses):
        journal, scheduler = await buses("journal"), await buses("scheduler")
        stranger = await buses("admin")
        acquired = asyncio.Event()

        async def propose(draft):
            acquired.set()
            return Accepted(1, (1,), (1,), ("id",))

        leadership = Leadership(scheduler, SimpleNamespace(propose=propose), "scheduler", "me")
        terms = leadership.terms()
        leading = asyncio.create_task(anext(terms))
        beacon = Message(b"{}", {"head": 0})
        await stranger.publish(wire.EXCHANGE_RECORDED, wire.BEACON, beacon, mandatory=False)
        await asyncio.sleep(0.2)
        assert not acquired.is_set()
        await journal.publish(wire.EXCHANGE_RECORDED, wire.BEACON, beacon, mandatory=False)
        async with asyncio.timeout(SOON_S * 2):
            assert (await leading).epoch == 1
        await terms.aclose()


def a_run(stream: str) -> Message:
    """Return the first run of a log, with one event of type a.a."""
    row = {
        "position": 1,
        "event_id": "id-1",
        "stream": stream,
        "version": 1,
        "type": "a.a",
        "schema_version": 1,
        "data": b"{}",
        "meta": b'{"actor":"a","occurred_at":"","proposer":"p"}',
        "recorded_at": datetime(2026, 1, 1, tzinfo=UTC),
    }
    body = wire.encode_run([wire.recorded_bytes(row)])
    return Message(body, {"from": 1, "to": 1, "types": ["a.a"]})
