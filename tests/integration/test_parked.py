"""What is parked on a real broker: a look gives everything back, and only a recorded word takes."""

from __future__ import annotations

import asyncio
from contextlib import suppress

import orjson
import pytest

from contracts.events.control import ParkedDropped, ParkedRetried
from services.chassis import bus as rabbit
from services.chassis import wire
from services.chassis.clock import SystemClock
from services.chassis.ports import Message
from services.journal import parked
from services.journal.adapters.memory import MemoryLog
from services.journal.handlers import Journal
from tests.unit.journal.test_parked import a_proposal

CLOCK = SystemClock()


@pytest.fixture
async def journals(broker):
    """Two journals on one log: either may be asked."""
    log = MemoryLog(CLOCK)
    buses = [await rabbit.connect("journal", broker.url("journal")) for _ in range(2)]
    running = [asyncio.create_task(Journal(bus, log, CLOCK).run()) for bus in buses]
    yield log
    for task in running:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
    for bus in buses:
        await bus.close()


async def test_parked_messages_are_seen_recorded_and_thrown_away(broker, journals, monkeypatch):
    monkeypatch.setattr(parked, "NEXT_S", 0.05)
    gateway = await rabbit.connect("gateway", broker.url("gateway"))

    async def ask(op, **question):
        body = orjson.dumps({"op": f"parked.{op}", **question})
        headers, answer = await gateway.ask(wire.EXCHANGE_JOURNAL, wire.QUEUE_JOURNAL, body)
        return headers.get("error") or orjson.loads(answer)

    async def listed(count):
        async with asyncio.timeout(20):
            while len(found := (await ask("list"))["items"]) != count:
                await asyncio.sleep(0.05)
        return found

    # In conflict while nobody waits: an environment that must be new, twice.
    for id_ in ("e-1", "e-1", "e-2"):
        message = Message(a_proposal(id_))
        await gateway.publish(wire.EXCHANGE_PROPOSED, "proposal", message, mandatory=True)
    unreadable = Message(b"\xff")
    await gateway.publish(wire.EXCHANGE_PROPOSED, "proposal", unreadable, mandatory=True)
    first, second = await listed(2)
    assert (first["reason"], first["proposer"]) == ("conflict", "gateway")
    assert second["reason"] == "unreadable"
    for _ in range(3):  # looked at again and again, it is all still there
        assert await listed(2) == [first, second]

    came = await ask("retry", id=first["id"], actor="ada")
    assert (came["recorded"], came["results"][0]["code"]) == (False, "conflict")
    assert (await ask("drop", id=second["id"], actor="ada", because="noise"))["dropped"]
    assert await listed(1) == [first]

    # Parked under another's name it is judged under that name, by the broker's word alone.
    forged = Message(a_proposal("e-3"), {"reason": "x", "proposer": "gateway"})
    keeper = await rabbit.connect("journal", broker.url("journal"))
    await keeper.publish("qm.parked", "parked", forged, mandatory=True)
    _, again = await listed(2)
    assert (await ask("retry", id=again["id"], actor="ada"))["recorded"]
    assert await listed(1) == [first]
    types = [row["type"] for row in journals._rows]
    assert types == ["environment.created"] * 2 + [
        ParkedDropped.type, "environment.created", ParkedRetried.type,
    ]  # fmt: skip
    await keeper.close()
    await gateway.close()
