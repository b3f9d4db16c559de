"""The bus in memory passes the suite of every bus."""

import pytest

from services.chassis.memory import MemoryBroker
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
