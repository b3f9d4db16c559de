"""Taking proposals: whatever fails, each is answered in the end, and no poison stops the rest."""

import asyncio
from contextlib import suppress

import orjson
import pytest

from services.chassis import wire
from services.chassis.clock import SystemClock
from services.chassis.errors import Unavailable
from services.chassis.health import Health
from services.chassis.memory import MemoryBroker, MemoryBus
from services.chassis.ports import Message
from services.chassis.proposer import Proposer
from services.journal import handlers
from services.journal.adapters.memory import MemoryLog
from services.journal.handlers import Journal
from tests.shared.spine import created

SOON_S = 5.0
CLOCK = SystemClock()


class Mute(MemoryBus):
    """A bus whose first answers fail."""

    failures = 1

    async def answer(self, to, body, headers) -> None:
        if self.failures:
            self.failures -= 1
            raise Unavailable("no confirm")
        await super().answer(to, body, headers)


@pytest.fixture
def broker(monkeypatch):
    monkeypatch.setattr(handlers, "RETRY_S", 0.01)
    return MemoryBroker()


async def running(bus, log):
    task = asyncio.create_task(Journal(bus, log, CLOCK).run())
    while not bus._broker.queue(wire.QUEUE_PROPOSED).inboxes:
        await asyncio.sleep(0)
    return task


async def stopped(task) -> None:
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task


async def test_an_answer_that_failed_is_given_again_without_waiting_for_other_proposals(broker):
    log = MemoryLog(CLOCK)
    journal = await running(Mute(broker, "journal"), log)
    gateway = Proposer(broker.bus("gateway"), "gateway", CLOCK)
    async with asyncio.timeout(2.0):  # less than the asker's own time-out
        accepted = await gateway.propose(created())
    assert (accepted.position, len(log._rows)) == (1, 1)
    await stopped(journal)


async def test_a_question_that_cannot_be_answered_now_stops_no_journal(broker):
    bus = Mute(broker, "journal")
    journal = await running(bus, MemoryLog(CLOCK))
    asker = broker.bus("gateway")
    _, body = await asker.ask(wire.EXCHANGE_JOURNAL, wire.QUEUE_JOURNAL, b'{"op":"head"}')
    assert orjson.loads(body)["position"] == 0
    assert not journal.done()
    await stopped(journal)


async def test_what_breaks_the_judge_is_refused_alone(broker, monkeypatch):
    judge = handlers.judge

    def fragile(raw, proposer, now):
        if raw["events"][0]["data"]["name"] == "poison":
            raise ZeroDivisionError
        return judge(raw, proposer, now)

    monkeypatch.setattr(handlers, "judge", fragile)
    journal = await running(broker.bus("journal"), MemoryLog(CLOCK))
    gateway = Proposer(broker.bus("gateway"), "gateway", CLOCK)
    sound, poison = created(), created()
    poison = created(event=poison.event.model_copy(update={"name": "poison"}))
    verdicts = await gateway.propose_all([[sound], [poison], [created()]])
    assert [type(verdict).__name__ for verdict in verdicts] == ["Accepted", "Bug", "Accepted"]
    await stopped(journal)


async def test_partitions_are_made_before_the_first_proposal_is_taken(broker):
    class Late(MemoryLog):
        made = 0

        async def make_partitions(self) -> None:
            if not broker.queue(wire.QUEUE_PROPOSED).inboxes:
                self.made += 1

    log = Late(CLOCK)
    journal = await running(broker.bus("journal"), log)
    assert log.made == 1
    await stopped(journal)


async def test_a_journal_that_is_stopped_leaves_no_task_behind(broker):
    class Held(MemoryLog):
        async def append(self, commands, not_before=None):
            await asyncio.Event().wait()

    before = asyncio.all_tasks()
    bus = broker.bus("journal")
    journal = await running(bus, Held(CLOCK))
    message = Message(wire.encode_proposals([b"{}"]))
    await broker.bus("gateway").publish(wire.EXCHANGE_PROPOSED, "proposal", message, mandatory=True)
    await asyncio.sleep(0.01)
    await stopped(journal)
    await bus.close()
    await asyncio.sleep(0)
    assert asyncio.all_tasks() <= before


async def test_a_journal_says_when_its_log_or_its_broker_is_away(broker):
    health = Health("journal")

    class Away(MemoryLog):
        is_away = True

        async def append(self, commands, not_before=None):
            if self.is_away:
                raise Unavailable("no log")
            return await super().append(commands, not_before)

    log = Away(CLOCK)
    bus = broker.bus("journal")
    journal = asyncio.create_task(Journal(bus, log, CLOCK, health.report).run())
    gateway = Proposer(broker.bus("gateway"), "gateway", CLOCK)
    proposing = asyncio.create_task(gateway.propose(created()))
    async with asyncio.timeout(SOON_S):
        while health.parts.get("append") != (False, "no log"):
            await asyncio.sleep(0.01)
        log.is_away = False
        await proposing
    assert health.ok
    await stopped(journal)
