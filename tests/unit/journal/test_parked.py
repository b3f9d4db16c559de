"""What is parked: seen by looking, recorded when it is tried again, gone only with a fact."""

from __future__ import annotations

import asyncio

import orjson
import pytest

from contracts.events.control import ParkedDropped, ParkedRetried
from services.chassis import wire
from services.chassis.ids import uuid7
from services.chassis.ports import Message
from services.journal import parked
from tests.in_memory import a_world, until

DEPTH = lambda world: world.broker.depth(wire.QUEUE_PARKED)  # noqa: E731


def a_proposal(id_="e-1", **changes):
    event = {
        "event_id": uuid7(),
        "stream": f"environment/{id_}",
        "type": "environment.created",
        "data": {"environment_id": id_, "name": id_},
        "occurred_at": "2026-05-04T12:00:00Z",
        "actor": "ada",
        "expected_version": 0,
    }
    return orjson.dumps({"proposals": [{"events": [{**event, **changes}]}]})


@pytest.fixture
async def world(monkeypatch):
    for name in ("FIRST_S", "NEXT_S", "AGAIN_S"):
        monkeypatch.setattr(parked, name, 0.02)
    async with a_world() as found:
        yield found


@pytest.fixture
async def bus(world):
    bus = world.broker.bus("gateway")
    yield bus
    await bus.close()


async def park(world, body, user="journal", **headers):
    """Put a message where the journal, or the broker itself, would have put it."""
    bus = world.broker.bus(user)
    message = Message(body, headers, message_id=uuid7())
    before = DEPTH(world)
    await bus.publish("qm.parked", "parked", message, mandatory=True)
    await until(lambda: DEPTH(world) == before + 1)
    await bus.close()


async def as_parked(world, body, proposer="gateway", reason="not_allowed"):
    said = {"reason": reason, "detail": "why", "proposer": proposer, "parked_at": "2026-05-04"}
    await park(world, body, **said)


async def ask(bus, op, **question):
    body = orjson.dumps({"op": f"parked.{op}", **question})
    headers, answer = await bus.ask(wire.EXCHANGE_JOURNAL, wire.QUEUE_JOURNAL, body)
    return headers.get("error") or orjson.loads(answer)


async def only(bus):
    (one,) = (await ask(bus, "list"))["items"]
    return one


async def test_what_nobody_waited_for_and_was_refused_is_listed_with_its_reason(world, bus):
    body = a_proposal(type="queue.sampled")
    await bus.publish(wire.EXCHANGE_PROPOSED, "proposal", Message(body), mandatory=True)
    await until(lambda: DEPTH(world) == 1)
    one = await only(bus)
    assert (one["proposer"], one["events"], one["types"]) == ("gateway", 1, ["queue.sampled"])
    assert one["reason"] == "invalid"
    assert one["parked_at"]


async def test_looking_takes_nothing_away_and_keeps_the_order(world, bus):
    for number in range(5):
        await as_parked(world, a_proposal(f"e-{number}"))
    first, second = await ask(bus, "list"), await ask(bus, "list")
    assert first == second
    assert [each["streams"] for each in first["items"]] == [
        [f"environment/e-{n}"] for n in range(5)
    ]
    assert DEPTH(world) == 5


async def test_tried_again_it_is_recorded_as_its_proposer_and_so_is_who_did_it(world, bus):
    await as_parked(world, a_proposal())
    one = await only(bus)
    came = await ask(bus, "retry", id=one["id"], actor="ada")
    assert came["recorded"]
    assert [result["positions"] for result in came["results"]] == [[1]]
    assert orjson.loads(world.log._rows[0]["meta"])["proposer"] == "gateway"
    (fact,) = world.facts(ParkedRetried, parked_id=one["id"], proposer="gateway")
    assert (fact.reason, fact.events) == ("not_allowed", 1)
    assert orjson.loads(world.log._rows[1]["meta"])["actor"] == "ada"
    assert DEPTH(world) == 0


async def test_refused_again_it_stays_where_it_is(world, bus):
    await as_parked(world, a_proposal(), proposer="scheduler")
    one = await only(bus)
    came = await ask(bus, "retry", id=one["id"], actor="ada")
    assert not came["recorded"]
    assert came["results"][0]["code"] == "not_allowed"
    assert (await only(bus)) == one
    assert world.log._rows == []


async def test_dropped_it_is_gone_and_a_fact_says_by_whom_and_why(world, bus):
    await as_parked(world, b"\xff\xfe", reason="unreadable")
    await as_parked(world, a_proposal())
    one = (await ask(bus, "list"))["items"][0]
    assert (await ask(bus, "drop", id=one["id"], actor="ada", because="noise"))["dropped"]
    (fact,) = world.facts(ParkedDropped)
    assert (fact.because, fact.parked_id, fact.events) == ("noise", one["id"], 0)
    assert (await only(bus))["streams"] == ["environment/e-1"]


async def test_what_the_broker_gave_up_is_its_senders_whatever_its_headers_claim(world, bus):
    death = {"x-death": [{"reason": "delivery_limit", "count": 1}], "proposer": "scheduler"}
    await park(world, a_proposal(), user="gateway", **death)
    one = await only(bus)
    assert (one["proposer"], one["reason"]) == ("gateway", "delivery_limit")
    assert one["detail"] == "the broker gave it up: delivery limit"


async def test_one_is_shown_whole_and_the_unreadable_as_text(world, bus):
    await as_parked(world, a_proposal())
    await as_parked(world, b"\xffno", reason="unreadable")
    readable, unreadable = (await ask(bus, "list"))["items"]
    shown = await ask(bus, "show", id=readable["id"])
    assert shown["proposals"][0]["events"][0]["data"] == {"environment_id": "e-1", "name": "e-1"}
    shown = await ask(bus, "show", id=unreadable["id"])
    assert (shown["proposals"], shown["text"]) == (None, "\N{REPLACEMENT CHARACTER}no")


async def test_what_another_journal_holds_at_this_moment_is_looked_for_again(
    world, bus, monkeypatch
):
    monkeypatch.setattr(parked, "AGAIN_S", 0.2)
    await as_parked(world, a_proposal())
    one = await only(bus)
    other = world.broker.bus("journal")
    held = await other.consume(wire.QUEUE_PARKED, prefetch=10)
    await held.next(1.0)
    asking = asyncio.create_task(ask(bus, "show", id=one["id"]))
    await asyncio.sleep(0.05)
    await held.close()
    assert (await asking)["id"] == one["id"]
    await other.close()


@pytest.mark.parametrize(
    ("op", "question", "said"),
    [
        ("show", {"id": "0" * 16}, "id: nothing is parked as 0000000000000000"),
        ("show", {"id": "no"}, "id: String should match"),
        ("drop", {"id": "0" * 16, "actor": "ada", "because": ""}, "because: String should have"),
        ("retry", {"id": "0" * 16}, "actor: Field required"),
    ],
)
async def test_a_wrong_question_is_refused_by_the_name_of_its_field(world, bus, op, question, said):
    assert (await ask(bus, op, **question)).startswith(said)


async def test_only_the_gateway_has_a_say(world):
    stranger = world.broker.bus("scheduler")
    assert "scheduler has no say" in await ask(stranger, "list")
    await stranger.close()
