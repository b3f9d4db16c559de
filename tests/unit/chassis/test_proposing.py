"""Proposing: what cannot be sent fails alone and at once, and nobody waits for ever."""

import asyncio

import orjson
import pytest

from contracts.envelope import Cause, Draft
from contracts.events.environment import EnvironmentCreated
from services.chassis import outbox, wire
from services.chassis.clock import SystemClock
from services.chassis.errors import Bug, Refused, Unavailable
from services.chassis.proposer import Proposer

SOON_S = 5.0


class Bus:
    """A journal that answers as it is told to, and keeps what it was sent."""

    def __init__(self) -> None:
        self.bodies: list[bytes] = []
        self.answers: list = []
        self.open = asyncio.Event()
        self.open.set()

    async def ask(self, exchange, key, body):
        await self.open.wait()
        self.bodies.append(body)
        answer = self.answers.pop(0) if self.answers else None
        if isinstance(answer, Exception):
            raise answer
        if answer is not None:
            return {}, answer
        recorded = {"verdict": "recorded", "positions": [1], "versions": [1], "duplicate": False}
        count = len(orjson.loads(body)["proposals"])
        return {}, orjson.dumps({"results": [recorded] * count})

    async def publish(self, exchange, key, message, *, mandatory):
        await self.open.wait()
        self.bodies.append(message.body)


def created(**more) -> Draft:
    return Draft("environment/e", EnvironmentCreated(environment_id="e", name="x", **more))


@pytest.fixture
def bus(monkeypatch):
    monkeypatch.setattr(outbox, "RETRY_S", 0.001)
    return Bus()


@pytest.fixture
def proposer(bus):
    return Proposer(bus, "gateway", SystemClock())


async def test_what_cannot_be_json_is_refused_alone_and_others_go_on(bus, proposer):
    poison = created(more=2**70)
    async with asyncio.timeout(SOON_S):
        found = await asyncio.gather(
            proposer.propose(created()),
            proposer.propose(poison),
            proposer.propose(created()),
            return_exceptions=True,
        )
    assert [type(one).__name__ for one in found] == ["Accepted", "Refused", "Accepted"]
    with pytest.raises(Refused):
        proposer.offer(poison)
    proposer.offer(created())
    async with asyncio.timeout(SOON_S):
        await proposer.flush()


@pytest.mark.parametrize(
    "answer", [b"", b"[]", b'{"results": []}', b'{"results": [{}, {}]}', b'{"other": 1}']
)
async def test_an_answer_that_does_not_fit_is_a_bug_and_not_a_wait(bus, proposer, answer):
    bus.answers = [answer]
    with pytest.raises(Bug):
        async with asyncio.timeout(SOON_S):
            await proposer.propose(created())


async def test_an_outage_repeats_the_same_bytes(bus, proposer):
    bus.answers = [Unavailable("away"), Unavailable("away")]
    async with asyncio.timeout(SOON_S):
        await proposer.propose(created())
    assert len(bus.bodies) == 3
    assert len(set(bus.bodies)) == 1


async def test_after_its_patience_a_proposer_says_so(bus):
    bus.answers = [Unavailable("away")] * 1000
    with pytest.raises(Unavailable):
        async with asyncio.timeout(SOON_S):
            await Proposer(bus, "gateway", SystemClock(), patience_s=0.05).propose(created())


async def test_what_waits_goes_in_few_messages_none_of_them_large(bus, proposer):
    bus.open.clear()
    waiting = [asyncio.create_task(proposer.propose(created(more="x" * 50_000))) for _ in range(60)]
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    bus.open.set()
    async with asyncio.timeout(SOON_S):
        await asyncio.gather(*waiting)
    assert all(len(body) <= outbox.MESSAGE_BYTES + 1000 for body in bus.bodies)
    assert len(bus.bodies) < 10
    assert sum(len(orjson.loads(body)["proposals"]) for body in bus.bodies) == 60


async def test_offers_go_in_messages_that_are_not_too_large(bus, proposer):
    proposer.offer(*(created(more="x" * 50_000) for _ in range(60)))
    async with asyncio.timeout(SOON_S):
        await proposer.flush()
    assert all(len(body) <= outbox.MESSAGE_BYTES + 1000 for body in bus.bodies)
    assert sum(len(orjson.loads(body)["proposals"]) for body in bus.bodies) == 60


async def test_many_proposals_at_once_go_in_messages_that_are_not_too_large(bus, proposer):
    proposals = [[created(more="x" * 50_000, number=n)] for n in range(60)]
    async with asyncio.timeout(SOON_S):
        verdicts = await proposer.propose_all(proposals)
    assert len(verdicts) == 60
    assert all(len(body) <= outbox.MESSAGE_BYTES + 1000 for body in bus.bodies)
    assert len(bus.bodies) == 3
    sent = [each for body in bus.bodies for each in orjson.loads(body)["proposals"]]
    assert [each["events"][0]["data"]["number"] for each in sent] == list(range(60))


async def test_no_message_holds_more_proposals_than_its_share(bus, proposer):
    async with asyncio.timeout(SOON_S):
        await proposer.propose_all([[created()]] * (2 * outbox.MESSAGE_PROPOSALS + 1))
    counts = [len(orjson.loads(body)["proposals"]) for body in bus.bodies]
    assert counts == [outbox.MESSAGE_PROPOSALS, outbox.MESSAGE_PROPOSALS, 1]


async def test_what_goes_in_several_messages_is_never_judged_out_of_order(bus, proposer):
    bus.answers = [Unavailable("away"), Unavailable("away")]
    async with asyncio.timeout(SOON_S):
        await proposer.propose_all([[created(more="x" * 600_000, number=n)] for n in range(3)])
    numbers = [
        [each["events"][0]["data"]["number"] for each in orjson.loads(body)["proposals"]]
        for body in bus.bodies
    ]
    assert numbers == [[0], [0], [0], [1], [2]]


async def test_what_no_broker_takes_is_refused_before_it_is_sent(bus, proposer):
    huge = created(more="x" * outbox.PROPOSAL_BYTES)
    with pytest.raises(Refused, match="bytes"):
        await proposer.propose(created(), huge)
    with pytest.raises(Refused, match="bytes"):
        await proposer.propose_all([[created()], [huge]])
    with pytest.raises(Refused, match="bytes"):
        proposer.offer(huge)
    assert bus.bodies == []


async def test_a_proposal_larger_than_a_message_has_one_of_its_own(bus, proposer):
    large = [created(more="x" * 600_000), created(more="x" * 600_000)]
    async with asyncio.timeout(SOON_S):
        await proposer.propose_all([[created()], large, [created()]])
    counts = [len(orjson.loads(body)["proposals"]) for body in bus.bodies]
    assert counts == [1, 1, 1]


async def test_one_who_gave_up_harms_nobody_in_the_same_message(bus, proposer):
    bus.open.clear()
    tasks = [asyncio.create_task(proposer.propose(created())) for _ in range(6)]
    await asyncio.sleep(0)
    tasks[4].cancel()
    bus.open.set()
    async with asyncio.timeout(SOON_S):
        found = await asyncio.gather(*tasks, return_exceptions=True)
    assert [type(one).__name__ for one in found].count("Accepted") == 5


def test_proposals_survive_the_wire(proposer):
    proposal = proposer._proposal((created(more="Grüße 🚀"), created()), None, ["a", "b"])
    body = wire.encode_proposals([wire.encode_proposal(proposal)] * 2)
    sent = orjson.loads(body)["proposals"]
    assert sent[0] == sent[1]
    assert [event["event_id"] for event in sent[0]["events"]] == ["a", "b"]
    assert sent[0]["events"][0]["data"]["more"] == "Grüße 🚀"


async def test_what_is_proposed_together_without_a_cause_begins_one_chain(bus, proposer):
    cause = Cause("e-0", "e-first", 7)
    await proposer.propose(created(), created().because(cause), created(), event_ids=list("abc"))
    (proposal,) = orjson.loads(bus.bodies[0])["proposals"]
    assert [each["correlation_id"] for each in proposal["events"]] == ["a", "e-first", "a"]
    assert [each["causation_id"] for each in proposal["events"]] == [None, "e-0", None]
    await proposer.propose(created())
    (alone,) = orjson.loads(bus.bodies[1])["proposals"]
    assert alone["events"][0]["correlation_id"] is None
