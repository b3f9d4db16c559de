"""The log in memory passes the suite of every log."""

import pytest

from services.chassis.clock import SystemClock
from services.journal.adapters.memory import MemoryLog
from services.journal.verify import verify
from tests.shared.log import LogSuite, command, entry


@pytest.fixture(scope="module")
def log():
    return MemoryLog(SystemClock())


class TestMemoryLog(LogSuite):
    pass


async def test_verification_names_the_first_changed_position():
    log = MemoryLog(SystemClock())
    await log.append([command(entry("environment/a")) for _ in range(5)])
    log._rows[2]["data"] = b'{"name":"z"}'
    report = await verify(log)
    assert (report.ok, report.position) == (False, 3)
