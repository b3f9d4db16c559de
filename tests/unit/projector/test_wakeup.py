"""The projector's wake-up: a hint from the broker, or the time-out."""

import asyncio

from services.chassis.errors import Unavailable
from services.chassis.memory import MemoryBroker
from services.chassis.ports import Message
from services.projector.adapters import wakeup as adapter
from services.projector.adapters.wakeup import BusWakeup


async def listening(wakeup):
    task = asyncio.create_task(wakeup.run())
    await asyncio.sleep(0)
    return task


async def test_a_recorded_run_wakes_the_projector_before_its_time_out():
    broker = MemoryBroker()

    async def connect():
        return broker.bus("projector")

    wakeup = BusWakeup(connect, "projector")
    task = await listening(wakeup)
    await asyncio.sleep(0)
    waiting = asyncio.create_task(wakeup.wait(60))
    journal = broker.bus("journal")
    async with asyncio.timeout(10):
        while not waiting.done():
            message = Message(b"[]", {"from": 1, "to": 1, "types": "x"})
            await journal.publish("qm.recorded", "x", message, mandatory=False)
            await asyncio.sleep(0)
    task.cancel()


async def test_a_broker_that_is_away_is_tried_again(monkeypatch):
    monkeypatch.setattr(adapter, "_BETWEEN_ATTEMPTS_S", 0)
    broker, attempts = MemoryBroker(), []

    async def connect():
        attempts.append(1)
        if len(attempts) < 3:
            raise Unavailable
        return broker.bus("projector")

    task = await listening(BusWakeup(connect, "projector"))
    async with asyncio.timeout(10):
        while len(attempts) < 3:
            await asyncio.sleep(0)
    task.cancel()


async def test_without_a_hint_the_time_out_is_the_pace():
    async def connect():
        raise Unavailable

    await BusWakeup(connect, "projector").wait(0.001)
