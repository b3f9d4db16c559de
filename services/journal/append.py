"""Group commit: everything that arrived during one append goes into the next.

Two appends are under way at most: while the database works on one, the next is made ready and
waits for the log's lock. They share no stream, so no stream's order depends on who gets it first.
"""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

import orjson
import structlog
from opentelemetry import metrics

from services.chassis import failpoints, spans, tracing
from services.chassis.errors import Unavailable
from services.journal.moments import Moments

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from datetime import datetime

    from services.chassis.clock import Clock
    from services.journal.records import Command, Say, Verdict

log = structlog.get_logger(__name__)
meter = metrics.get_meter("quartermaster.journal")
APPEND_S = meter.create_histogram(
    "quartermaster.journal.append.duration",
    unit="s",
    description="How long one append took, until it was decided for good.",
    explicit_bucket_boundaries_advisory=[0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1, 5],
)
APPENDED = meter.create_histogram(
    "quartermaster.journal.append.events",
    unit="{event}",
    description="How many events one append took together.",
    explicit_bucket_boundaries_advisory=[1, 2, 5, 10, 25, 50, 100, 250, 500, 1000],
)

MAX_BATCH_EVENTS = 1000
IN_FLIGHT = 2
FIRST_RETRY_S, LAST_RETRY_S = 0.05, 2.0
ENDED = "the journal stops appending"


class Appending(Protocol):
    """What a log must do for its appender."""

    async def append(
        self, commands: Sequence[Command], not_before: datetime | None = None
    ) -> list[Verdict]:
        """Append each command whole or not at all; raises Unavailable, and then nothing is known.

        not_before: what the log's time has reached, whatever the log's clock says.
        The commands must fit together as `next_batch` puts them.
        """


@dataclass(slots=True)
class _Waiting:
    command: Command
    call: _Call
    place: int


@dataclass(slots=True, eq=False)
class _Call:
    verdicts: list[Verdict | None]
    done: asyncio.Future[None]
    open: int = field(default=0)


@dataclass(slots=True)
class _Batch:
    """What a growing batch touches, to tell which command must wait for the next one."""

    ids: set[str] = field(default_factory=set)
    streams: set[str] = field(default_factory=set)
    exclusive: set[str] = field(default_factory=set)
    leases: set[str] = field(default_factory=set)
    blocked: set[str] = field(default_factory=set)

    @classmethod
    def beside(cls, others: Iterable[_Batch]) -> _Batch:
        """Return an empty batch that shares nothing with those under way."""
        batch = cls()
        for other in others:
            batch.ids |= other.ids
            batch.blocked |= other.streams
            batch.leases |= other.leases
        return batch

    def takes(self, command: Command) -> bool:
        """Take a command if it fits; else later ones on its streams wait behind it too.

        It does not fit when an id is in the batch already, when it shares a stream of which
        either side expects a version, or when a lease is both taken and used.
        """
        ids = [entry.event_id for entry in command.entries]
        streams = {entry.stream for entry in command.entries}
        exclusive = {entry.stream for entry in command.entries if entry.expected is not None}
        lease = None if command.lease is None else f"lease/{command.lease.name}"
        if (
            not self.blocked.isdisjoint(streams)
            or not self.exclusive.isdisjoint(streams)
            or not self.streams.isdisjoint(exclusive)
            or not self.leases.isdisjoint(streams)
            or lease in self.streams
            or lease in self.blocked
            or not self.ids.isdisjoint(ids)
        ):
            self.blocked |= streams
            return False
        self.ids.update(ids)
        self.streams |= streams
        self.exclusive |= exclusive
        if lease is not None:
            self.leases.add(lease)
        return True


def next_batch(
    waiting: deque[_Waiting], batch: _Batch, limit: int = MAX_BATCH_EVENTS
) -> list[_Waiting]:
    """Take from `waiting`, in order, what can be appended by one statement; the rest stays."""
    taken, left, count = [], [], 0
    while waiting and count < limit:
        item = waiting.popleft()
        if batch.takes(item.command):
            taken.append(item)
            count += len(item.command.entries)
        else:
            left.append(item)
    waiting.extendleft(reversed(left))
    return taken


class GroupAppender:
    """Few appends at a time; callers wait for their verdicts, never for each other's proposals."""

    def __init__(
        self,
        log_: Appending,
        clock: Clock,
        on_appended: Callable[[], None] = lambda: None,
        say: Say = lambda _, __: None,
        *,
        moments: Moments | None = None,
    ) -> None:
        self._log, self._clock, self._on_appended = log_, clock, on_appended
        self._moments = moments or Moments(clock)
        self._say = say
        self._waiting: deque[_Waiting] = deque()
        self._arrived = asyncio.Event()
        self._calls: set[_Call] = set()
        self._under_way: dict[asyncio.Task[None], _Batch] = {}
        self._error: BaseException | None = None
        self._has_ended = False

    async def append(self, commands: Sequence[Command]) -> list[Verdict]:
        """Return a verdict for each command once it is decided for good.

        Raises Unavailable when the appender ends first: then nothing is known.
        """
        if not commands:
            return []
        if self._has_ended:
            raise Unavailable(ENDED)
        call = _Call([None] * len(commands), asyncio.get_running_loop().create_future())
        call.open = len(commands)
        self._calls.add(call)
        self._waiting.extend(
            _Waiting(command, call, place) for place, command in enumerate(commands)
        )
        self._arrived.set()
        try:
            await call.done
        finally:
            self._calls.discard(call)
        return [verdict for verdict in call.verdicts if verdict is not None]

    async def run(self) -> None:
        """Append for ever; an outage holds what waits and tries again, the same ids each time."""
        try:
            await self._run()
        finally:
            await self._end()

    async def _end(self) -> None:
        """Leave no append under way and nobody waiting."""
        self._has_ended = True
        for call in self._calls:
            if not call.done.done():
                call.done.set_exception(Unavailable(ENDED))
        under_way = list(self._under_way)
        for appending in under_way:
            appending.cancel()
        await asyncio.gather(*under_way, return_exceptions=True)

    async def _run(self) -> None:
        while True:
            await self._arrived.wait()
            self._arrived.clear()
            while self._waiting and len(self._under_way) < IN_FLIGHT:
                batch = _Batch.beside(self._under_way.values())
                items = next_batch(self._waiting, batch)
                if not items:
                    break  # all of it shares a stream with what is under way
                appending = asyncio.create_task(self._append(items))
                self._under_way[appending] = batch
                appending.add_done_callback(self._appended)
            self._failed()

    def _appended(self, task: asyncio.Task[None]) -> None:
        self._under_way.pop(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self._error = error
        self._arrived.set()

    def _failed(self) -> None:
        if self._error is not None:
            raise self._error

    async def _append(self, items: list[_Waiting]) -> None:
        commands = [item.command for item in items]
        origins = _origins(commands) if tracing.is_on() else ()
        began = self._clock.monotonic()
        with spans.appending(origins) as spanned:
            verdicts = await self._until_known(commands)
            spanned.conclude(verdict.outcome for verdict in verdicts)
        APPEND_S.record(self._clock.monotonic() - began)
        APPENDED.record(sum(len(command.entries) for command in commands))
        await failpoints.reach(failpoints.JOURNAL_COMMITTED)
        for item, verdict in zip(items, verdicts, strict=True):
            _settle(item, verdict)
        self._on_appended()

    async def _until_known(self, commands: list[Command]) -> list[Verdict]:
        pause = FIRST_RETRY_S
        while True:
            try:
                verdicts = await self._log.append(commands, self._moments.floor())
            except Unavailable as error:
                self._say(False, error.detail)
                log.warning("appending again", commands=len(commands), because=error.detail)
                await self._clock.sleep(pause)
                pause = min(pause * 2, LAST_RETRY_S)
            else:
                self._say(True, "")
                return verdicts


def _origins(commands: Sequence[Command]) -> list[tuple[str, str, str | None]]:
    """Return type, stream and trace of each, as its span tells them."""
    return [
        (last.type, last.stream, orjson.loads(last.meta).get("trace"))
        for last in (command.entries[-1] for command in commands)
    ]


def _settle(item: _Waiting, verdict: Verdict) -> None:
    call = item.call
    call.verdicts[item.place] = verdict
    call.open -= 1
    if call.open == 0 and not call.done.done():
        call.done.set_result(None)
