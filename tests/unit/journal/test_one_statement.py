"""A question takes one of the log's connections at a time: the others are for the appends."""

import asyncio

import orjson
import pytest

from services.chassis.clock import SystemClock
from services.chassis.ids import uuid7
from services.journal import snapshots
from services.journal.adapters.memory import MemoryLog
from services.journal.snapshots import Kept, Piece
from tests.shared.log import a_stream, command, entry

CLOCK = SystemClock()
SERVICE, FINGERPRINT = "scheduler", "a" * 64
STATEMENTS = (
    "append",
    "chunk",
    "drop_snapshots",
    "head",
    "of_other_folds",
    "read",
    "seals",
    "snapshots",
)


class Counted:
    """A log that knows how many of its statements ran at once."""

    def __init__(self, log: MemoryLog) -> None:
        self._log = log
        self.most = self._running = 0

    def __getattr__(self, name: str):
        return self._counted(name) if name in STATEMENTS else getattr(self._log, name)

    def _counted(self, name: str):
        async def run(*args):
            self._running += 1
            self.most = max(self.most, self._running)
            await asyncio.sleep(0)
            self._running -= 1
            return await getattr(self._log, name)(*args)

        return run


async def a_log_with_snapshots(count: int) -> MemoryLog:
    log = MemoryLog(CLOCK)
    for number in range(count):
        verdict = (await log.append([command(entry(a_stream()))]))[0]
        position, upload = verdict.positions[0], uuid7()
        row = (await log.read(position - 1, 1))[0]
        await log.put_chunk(SERVICE, Piece(upload=upload, number=0), b"x")
        event_id = row["event_id"] if number else uuid7()  # the first is of another log
        kept = Kept(position, event_id, upload, 1, ("0" * 64,), None, CLOCK.now())
        await log.keep_snapshot(SERVICE, FINGERPRINT, kept)
    return log


@pytest.mark.parametrize(("at_most", "found"), [(None, 3), (3, 2)])
async def test_whoever_looks_for_snapshots_takes_one_connection_at_a_time(at_most, found):
    log = Counted(await a_log_with_snapshots(6))
    asked = {"fingerprint": FINGERPRINT, "at_most": at_most, "telemetry": True, "with_chunk": True}
    _, body = await snapshots.answer(log, SERVICE, {"op": "snapshot.find", **asked}, b"")
    said, _, chunk = body.partition(b"\n")
    assert len(orjson.loads(said)["snapshots"]) == found
    assert chunk == b"x"
    assert log.most == 1
