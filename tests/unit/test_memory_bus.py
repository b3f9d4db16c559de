"""The bus in memory passes the suite of every bus."""

import pytest

from services.chassis import wire
from services.chassis.memory import FOLLOWER_LIMIT, MemoryBroker
from services.chassis.ports import Message
from tests.shared.bus import BusSuite


@pytest.fixture
def memory():
    return MemoryBroker()


class TestMemoryBus(BusSuite):
    @pytest.fixture
    def connect(self, memory):
        async def connect(service: str):
            return memory.bus(service)

        return connect

    @pytest.fixture
    def parked(self, memory):
        async def parked() -> int:
            return memory.depth("qm.parked")

        return parked


async def test_a_follower_that_does_not_read_holds_so_many_runs_and_no_more(memory):
    inbox = await memory.bus("scheduler").follow("scheduler")
    journal = memory.bus("journal")
    for number in range(FOLLOWER_LIMIT * 2 + 5):
        run = Message(b"[]", {"from": number})
        await journal.publish(wire.EXCHANGE_RECORDED, "a.a", run, mandatory=False)
    assert inbox.ready() == FOLLOWER_LIMIT
    last = None
    while inbox.ready():
        last = await inbox.next(0)
    assert last.headers["from"] == FOLLOWER_LIMIT * 2 + 4
