"""The read models' tables in memory: rows as JSON, versions that were, entries."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable
from contextlib import asynccontextmanager

import orjson

from contracts.envelope import Recorded
from services.chassis.errors import Fenced
from services.projector.handlers import Projector
from services.projector.projections import TYPES
from services.projector.state import Batch, Checkpoint, Version

TURNS_OF_A_COMMIT = 5


class MemoryTables:
    """Read models that others see as they were last committed, and a commit takes a while."""

    def __init__(self) -> None:
        self.now: dict[str, dict[str, tuple[int, bytes]]] = defaultdict(dict)
        self.were: dict[str, list[tuple[str, int, int, bytes]]] = defaultdict(list)
        self.entries: dict[str, list[tuple[str, int, bytes]]] = defaultdict(list)
        self.stands = Checkpoint()

    def row(self, model: str, key: str):
        found = self.now[model].get(key)
        return orjson.loads(found[1]) if found else None

    async def checkpoint(self):
        return self.stands

    @asynccontextmanager
    async def writing(self):
        transaction = MemoryWriting(self)
        yield transaction
        for _ in range(TURNS_OF_A_COMMIT):
            await asyncio.sleep(0)
        transaction.commit()

    def beside(self, other):
        own = MemoryWriting(self)
        other.others.append(own)
        return own

    async def rows(self, model, keys):
        return {
            key: Version(position, orjson.loads(raw), raw)
            for key, (position, raw) in self.now[model].items()
            if key in keys
        }

    def whole(self):
        """Return everything, comparable."""
        return (
            {model: rows for model, rows in self.now.items() if rows},
            {model: sorted(rows) for model, rows in self.were.items() if rows},
            dict(self.entries),
            self.stands,
        )


class MemoryWriting:
    """One transaction over such tables, and over those of others beside them."""

    def __init__(self, tables: MemoryTables) -> None:
        self._tables = tables
        self._done: list[Callable[[], None]] = []
        self._moved: tuple[Checkpoint, Checkpoint] | None = None
        self.others: list[MemoryWriting] = []

    def commit(self) -> None:
        """Let everybody see it, or nobody where another moved the checkpoint first."""
        everybody = [self, *self.others]
        for each in everybody:
            each._must_be_first()
        for each in everybody:
            each._apply()

    async def save(self, model, changes):
        self._done.append(lambda: self._save(model, changes))

    async def append(self, series, entries):
        self._done.append(lambda: self._append(series, entries))

    async def move(self, before, after):
        self._moved = before, after
        self._must_be_first()

    def _must_be_first(self):
        if self._moved is not None and self._moved[0] != self._tables.stands:
            raise Fenced

    def _apply(self):
        for change in self._done:
            change()
        if self._moved is not None:
            self._tables.stands = self._moved[1]

    def _save(self, model, changes):
        for closed in changes.closed:
            version = closed.version
            raw = orjson.dumps(version.row)
            self._tables.were[model].append((closed.key, version.position, closed.to_position, raw))
        now = self._tables.now[model]
        for key in changes.gone:
            now.pop(key, None)
        for key, version in changes.current.items():
            # As the tables do: what is there already and stands as late stays.
            if key not in now or now[key][0] < version.position:
                now[key] = (version.position, orjson.dumps(version.row))

    def _append(self, series, entries):
        for key, position, _, row in entries:
            self._tables.entries[series.name].append((key, position, orjson.dumps(row)))


class MemoryLog:
    """A log of given events."""

    def __init__(self, events: list[Recorded]) -> None:
        self.events = events
        self.let_pass: set[int] = set()

    async def after(self, checkpoint, limit, until=None):
        run = self.events[checkpoint.position : checkpoint.position + limit][
            : None if until is None else max(0, until - checkpoint.position)
        ]
        through = Checkpoint(run[-1].position, run[-1].event_id) if run else checkpoint
        return Batch([event for event in run if event.type in TYPES], len(run), through)

    async def skips(self, event):
        return event.position in self.let_pass


async def projected(events: list[Recorded], *, batch: int = 1000) -> MemoryTables:
    """Return the tables that these events make."""
    tables = MemoryTables()
    await Projector(MemoryLog(events), tables, batch=batch).catch_up()
    return tables
