"""Publish what was recorded: runs of consecutive positions, read from the log behind a cursor."""

from __future__ import annotations

import asyncio
from itertools import takewhile
from typing import TYPE_CHECKING, Any, Protocol

import structlog

from services.chassis import failpoints, metering, wire
from services.chassis.errors import Bug, Unavailable
from services.chassis.ports import Message
from services.chassis.supervision import Together
from services.journal.moments import Moments
from services.journal.records import first_unsealed

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from services.chassis.clock import Clock
    from services.chassis.ports import Bus
    from services.journal.records import Head, Row, Say, Seal

log = structlog.get_logger(__name__)

RUN_EVENTS, RUN_BYTES = 500, 256 * 1024
BRACKETS = len(b"[]")
READ_EVENTS = 5000
AT_ONCE_BYTES = 4 * 1024 * 1024
POLL_S = 0.25
BEACON_S = 2.0
BEACON_EXPIRES_S = 10.0
STANDBY_PATIENCE_S = 3.0
RETRY_S = 0.3


Run = tuple["Sequence[Row]", bytes]  # consecutive rows, and their body


class Publishing(Protocol):
    """What a log must do for its publisher."""

    async def cursor(self) -> int:
        """Return the position published through; raises Bug when the log was rewound behind it."""

    async def move_cursor(self, before: int, after: int, event_id: str, /) -> bool:
        """Move the cursor if it still stands at `before`; return whether it did."""

    async def read(self, after: int, limit: int) -> Sequence[Row]:
        """Return the rows behind a position, in order."""

    async def head(self) -> Head:
        """Return the newest position."""

    async def seals(self) -> list[Seal]:
        """Return what dropped partitions left behind, in order."""


def runs(rows: Sequence[Row]) -> Iterator[Run]:
    """Cut consecutive rows into runs of at most 500 events and 256 KiB, each with its body."""
    start, size = 0, BRACKETS
    parts: list[bytes] = []
    for number, row in enumerate(rows):
        part = wire.recorded_bytes(row)
        if parts and (len(parts) == RUN_EVENTS or size + len(part) > RUN_BYTES):
            yield rows[start:number], wire.encode_run(parts)
            start, size, parts = number, BRACKETS, []
        parts.append(part)
        size += len(part) + 1
    if parts:
        yield rows[start:], wire.encode_run(parts)


def at_once(some: Iterable[Run]) -> Iterator[list[Run]]:
    """Cut runs into as many as are published at once: each has only so long to be confirmed."""
    together: list[Run] = []
    size = 0
    for run in some:
        if together and size + len(run[1]) > AT_ONCE_BYTES:
            yield together
            together, size = [], 0
        together.append(run)
        size += len(run[1])
    if together:
        yield together


def run_message(rows: Sequence[Row], body: bytes, after: int | None = None) -> tuple[str, Message]:
    """Return a run's routing key, its first type, and its message with the others as copies.

    after: where the run before it ended; what lies between was dropped and sealed.
    """
    types = list(dict.fromkeys(row["type"] for row in rows))
    headers: dict[str, Any] = {
        "from": rows[0]["position"] if after is None else after + 1,
        "to": rows[-1]["position"],
        "id": rows[-1]["event_id"],
        "types": types,
        "now": rows[-1]["recorded_at"].isoformat(),
    }
    return types[0], Message(body, headers, copies_to=tuple(types[1:]))


class Publisher:
    """Publishes at once what this process appended; standing by, only what others left lying."""

    def __init__(
        self,
        bus: Bus,
        log_: Publishing,
        clock: Clock,
        say: Say = lambda _, __: None,
        *,
        moments: Moments | None = None,
    ) -> None:
        self._bus, self._log, self._clock, self._say = bus, log_, clock, say
        self._moments = moments or Moments(clock)
        self._woken = asyncio.Event()
        self._stands: tuple[int, float] | None = None
        self._lag = 0

    def wake(self) -> None:
        """Say that something was appended here."""
        self._woken.set()

    async def run(self) -> None:
        """Publish for ever."""
        with metering.gauge("quartermaster.journal.publish.lag", lambda: [(self._lag, {})]):
            while True:
                await self._publish_once(woken=await self._wait())

    async def _publish_once(self, *, woken: bool) -> None:
        try:
            if woken or await self._was_left_lying():
                await self.publish_all()
            self._say(True, "")
        except Unavailable as error:
            self._say(False, error.detail)
            log.info("publishing again", because=error.detail)
            self._woken.set()
            await self._clock.sleep(RETRY_S)

    async def _wait(self) -> bool:
        try:
            async with asyncio.timeout(POLL_S):
                await self._woken.wait()
        except TimeoutError:
            return False
        self._woken.clear()
        return True

    async def _was_left_lying(self) -> bool:
        """Return whether the cursor has stood still behind the head: its publisher died."""
        head, cursor = await self._log.head(), await self._log.cursor()
        if head.position <= cursor:
            self._stands = None
            return False
        now = self._clock.monotonic()
        if self._stands is None or self._stands[0] != cursor:
            self._stands = (cursor, now)
        return now - self._stands[1] >= STANDBY_PATIENCE_S

    async def publish_all(self) -> None:
        """Publish everything behind the cursor, some at a time, and move it after them."""
        while True:
            cursor = await self._log.cursor()
            rows = await self._log.read(cursor, READ_EVENTS)
            if not rows:
                return
            await self._must_be_whole(rows, cursor)
            for some in at_once(runs(rows)):
                if not await self._publish_runs(cursor, some):
                    break  # another publisher moved it: then both published, which is harmless
                cursor = some[-1][0][-1]["position"]

    async def _publish_runs(self, cursor: int, some: Sequence[Run]) -> bool:
        """Publish runs, confirms pipelined, and move the cursor over them if it is where it was.

        Where one fails it moves over those before it, so that a slow broker comes to an end.
        """
        confirms: list[asyncio.Task[None]] = []
        reached = cursor
        try:
            async with Together() as publishing:
                for part, body in some:
                    key, message = run_message(part, body, reached)
                    confirms.append(publishing.create_task(self._publish(key, message)))
                    reached = part[-1]["position"]
        except Unavailable:
            confirmed = sum(1 for _ in takewhile(_is_confirmed, confirms))
            await self._move_over(cursor, some[:confirmed])
            raise
        await failpoints.reach(failpoints.JOURNAL_PUBLISHED)
        return await self._move_over(cursor, some)

    async def _move_over(self, cursor: int, some: Sequence[Run]) -> bool:
        if not some:
            return False
        last = some[-1][0][-1]
        return await self._log.move_cursor(cursor, last["position"], last["event_id"])

    async def _must_be_whole(self, rows: Sequence[Row], cursor: int) -> None:
        """Raise Bug when a position is missing that no dropped partition had."""
        if rows[-1]["position"] == cursor + len(rows):
            return
        seals, before = await self._log.seals(), cursor
        for row in rows:
            missing = first_unsealed(before + 1, row["position"] - 1, seals)
            if missing is not None:
                raise Bug(f"the log is not dense behind {cursor}: position {missing} is missing")
            before = row["position"]

    async def _publish(self, key: str, message: Message) -> None:
        await self._bus.publish(wire.EXCHANGE_RECORDED, key, message, mandatory=False)

    async def beacon(self) -> None:
        """Tell every 2 s through which position all is published.

        Who missed the last run hears of it here, and who leads hears that it still does.
        """
        while True:
            try:
                published, head = await self._log.cursor(), await self._log.head()
                self._lag = max(0, head.position - published)
                headers = {"head": published, "now": self._moments.observe(head.now).isoformat()}
                message = Message(b"{}", headers, expires_s=BEACON_EXPIRES_S)
                await self._bus.publish(
                    wire.EXCHANGE_RECORDED, wire.BEACON, message, mandatory=False
                )
            except Unavailable as error:
                log.info("no beacon", because=error.detail)
            await self._clock.sleep(BEACON_S)


def _is_confirmed(publishing: asyncio.Task[None]) -> bool:
    return publishing.done() and not publishing.cancelled() and publishing.exception() is None
