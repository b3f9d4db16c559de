"""Snapshots in memory pass the suite of all snapshots."""

import asyncio
from contextlib import suppress

import pytest

from services.chassis.memory import MemoryBroker
from services.journal.adapters.memory import MemoryLog
from services.journal.handlers import Journal
from tests.shared.snapshots import CLOCK, SERVICE, SnapshotSuite


@pytest.fixture
def memory():
    return MemoryBroker()


@pytest.fixture
def connect(memory):
    async def connect(service: str):
        return memory.bus(service)

    return connect


@pytest.fixture
def log():
    return MemoryLog(CLOCK)


@pytest.fixture
async def journal(memory, log):
    journal = Journal(memory.bus("journal"), log, CLOCK)
    running = asyncio.create_task(journal.run())
    yield journal
    running.cancel()
    with suppress(asyncio.CancelledError):
        await running


class TestMemorySnapshots(SnapshotSuite):
    async def forget(self, log, upload):
        del log._chunks[SERVICE, upload]
