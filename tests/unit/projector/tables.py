"""The read models' tables in memory: rows as JSON, versions that were, entries."""

from __future__ import annotations

from collections import defaultdict
from contextlib import asynccontextmanager

import orjson

from contracts.envelope import Recorded
from services.chassis.errors import Fenced
from services.projector.handlers import Projector
from services.projector.projections import TYPES
from services.projector.state import Batch, Checkpoint, Version


class MemoryTables:
    """Read models and writing in one; a failed transaction leaves nothing behind."""

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
        before = (
            {model: dict(rows) for model, rows in self.now.items()},
            {model: list(rows) for model, rows in self.were.items()},
            {model: list(rows) for model, rows in self.entries.items()},
        )
        stood = self.stands
        try:
            yield self
        except BaseException:
            self.stands = stood
            for table, old in zip((self.now, self.were, self.entries), before, strict=True):
                table.clear()
                table.update(old)
            raise

    async def rows(self, model, keys):
        return {
            key: Version(position, orjson.loads(raw), raw)
            for key, (position, raw) in self.now[model].items()
            if key in keys
        }

    async def save(self, model, changes):
        for closed in changes.closed:
            version = closed.version
            raw = orjson.dumps(version.row)
            self.were[model].append((closed.key, version.position, closed.to_position, raw))
        for key in changes.gone:
            self.now[model].pop(key, None)
        for key, version in changes.current.items():
            self.now[model][key] = (version.position, orjson.dumps(version.row))

    def beside(self, other):
        return self

    async def append(self, series, entries):
        for key, position, _, row in entries:
            self.entries[series.name].append((key, position, orjson.dumps(row)))

    async def move(self, before, after):
        if before != self.stands:
            raise Fenced
        self.stands = after

    def whole(self):
        """Return everything, comparable."""
        return (
            {model: rows for model, rows in self.now.items() if rows},
            {model: sorted(rows) for model, rows in self.were.items() if rows},
            dict(self.entries),
            self.stands,
        )


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
