"""The broker and the log as the services meet them: slow, forgetful of answers, sometimes away."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from services.chassis import wire
from services.chassis.errors import Unavailable
from services.chassis.memory import MemoryBroker, MemoryBus, _Letter
from services.journal.adapters.memory import MemoryLog
from services.journal.verify import Checker

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from datetime import datetime

    from contracts.envelope import Recorded
    from services.chassis.ports import Message
    from services.journal.records import Command, Row, Verdict
    from tests.simulation.weather import Sky

ENDS = frozenset({"instance.stopped", "instance.start_failed", "instance.died"})


class SimBroker(MemoryBroker):
    """A broker that loses what its bounded followers' queues may lose."""

    def __init__(self, sky: Sky) -> None:
        super().__init__()
        self.sky = sky
        self.published: set[int] = set()

    def route(self, exchange: str, key: str, letter: _Letter) -> int:
        """Route a letter; a run may be lost on its way to one follower, as when its head drops."""
        if exchange != wire.EXCHANGE_RECORDED:
            return super().route(exchange, key, letter)
        if key != wire.BEACON:
            self.published.update(each.position for each in wire.decode_run(letter.message.body))
        bound = self._bindings[exchange]
        lossy = [
            each
            for each in bound
            if each[1].name.endswith(".recorded") and self.sky.comes("dropped")
        ]
        kept = [each for each in bound if each not in lossy]
        self._bindings[exchange] = kept
        try:
            return super().route(exchange, key, letter)
        finally:
            self._bindings[exchange] = kept + [each for each in lossy if each not in kept]

    def bus(self, service: str) -> SimBus:
        """Return the connection of one process."""
        return SimBus(self, service)


class SimBus(MemoryBus):
    """A connection with all that happens to connections."""

    _broker: SimBroker

    def cut(self) -> None:
        """Lose the connection; what was delivered on it and not acknowledged comes again."""
        if any(inbox._unsettled for inbox in self._inboxes):
            self._broker.sky.happened["redelivered"] += 1
        super().cut()

    async def publish(self, exchange: str, key: str, message: Message, *, mandatory: bool) -> None:
        """Publish after a while; never, twice, or without an answer, as the weather is."""
        sky = self._broker.sky
        await asyncio.sleep(sky.delay_s())
        if sky.comes("unsent"):
            raise Unavailable("the connection was lost before the message left")
        await super().publish(exchange, key, message, mandatory=mandatory)
        if sky.comes("doubled"):
            await super().publish(exchange, key, message, mandatory=False)
        if sky.comes("unconfirmed"):
            raise Unavailable("the connection was lost before the confirm came")


class SimLog(MemoryLog):
    """A database: statements take time and fail, before the commit and after it; all is watched."""

    def __init__(self, clock: Any, sky: Sky, broker: SimBroker) -> None:
        super().__init__(clock)
        self.sky, self.broker, self.is_up = sky, broker, True
        self.lives: Callable[[str], bool] = lambda _: False
        self.checker = Checker()
        self._ids: set[str] = set()
        self.recorded: list[Recorded] = []

    async def append(
        self, commands: Sequence[Command], not_before: datetime | None = None
    ) -> list[Verdict]:
        """Append; whether it was done is not always answered."""
        await self._statement()
        verdicts = await super().append(commands, not_before)
        self._watch()
        for verdict in verdicts:
            if verdict.outcome != "appended":
                self.sky.happened[verdict.outcome] += 1
        await asyncio.sleep(self.sky.delay_s())
        if self.sky.comes("outcome_unknown"):
            raise Unavailable("the connection was lost around the commit")
        return verdicts

    async def read(self, after: int, limit: int) -> Sequence[Row]:
        """Return the rows behind a position."""
        await self._statement()
        return await super().read(after, limit)

    async def page(self, question: Any, through: int, limit: int) -> Any:
        """Return a page of history."""
        self.sky.happened["history"] += 1
        await self._statement()
        return await super().page(question, through, limit)

    async def move_cursor(self, before: int, after: int, event_id: str) -> bool:
        """Move the cursor."""
        await self._statement()
        moved = await super().move_cursor(before, after, event_id)
        if not moved:
            self.sky.happened["cursor_had_moved"] += 1
        elif not self.broker.published.issuperset(range(before + 1, after + 1)):
            self.sky.violate(f"L8: the cursor moved to {after}, and not all of it was published")
        return moved

    async def _statement(self) -> None:
        await asyncio.sleep(self.sky.delay_s())
        if not self.is_up or self.sky.comes("statement_failed"):
            raise Unavailable("the database does not answer")

    def _watch(self) -> None:
        for row in self._rows[len(self.recorded) :]:
            event = recorded_of(row)
            self.recorded.append(event)
            if event.data.get("replaced_by"):
                self.sky.happened["replaced"] += 1
            if event.event_id in self._ids:
                self.sky.violate(f"L2 at {event.position}: {event.event_id} comes twice")
            self._ids.add(event.event_id)
            if not self.checker.check(row):
                self.sky.violate(f"at {event.position}: {self.checker.report.problem}")
                self.checker.report.ok = True
                self.checker.report.head = event.position
            if event.type in ENDS and self.lives(event.data["instance_id"]):
                self.sky.violate(
                    f"G3 at {event.position}: {event.type}, and {event.data['instance_id']} runs"
                )


def recorded_of(row: Mapping[str, Any]) -> Recorded:
    """Return a row as followers get it."""
    return next(iter(wire.decode_run(wire.encode_run([wire.recorded_bytes(row)]))))
