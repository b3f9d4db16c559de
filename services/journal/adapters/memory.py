"""The log in memory: the same verdicts, the same chain."""

from __future__ import annotations

import hashlib
from collections import Counter
from typing import TYPE_CHECKING, Any

from services.journal.adapters.memory_snapshots import MemorySnapshots
from services.journal.digest import EPOCH, leaf
from services.journal.lag import Lag, Reached
from services.journal.records import Head, Row, Seal, Verdict

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping, Sequence
    from datetime import datetime

    from services.chassis.clock import Clock
    from services.journal.export import ExportQuestion
    from services.journal.facts import FactsQuestion
    from services.journal.history import HistoryQuestion
    from services.journal.records import Command, Entry
    from services.journal.verify import Standing


class MemoryLog(MemorySnapshots):
    """Every port of the journal on a list."""

    def __init__(self, clock: Clock) -> None:
        super().__init__()
        self._clock = clock
        self._rows: list[dict[str, Any]] = []
        self._by_id: dict[str, dict[str, Any]] = {}
        self._versions: Counter[str] = Counter()
        self._hashes: dict[str | None, bytes] = {}
        self._cursor = 0

    async def append(
        self, commands: Sequence[Command], not_before: datetime | None = None
    ) -> list[Verdict]:
        """Append each command whole or not at all."""
        now = max(self._clock.now(), not_before or EPOCH)
        if self._rows:
            now = max(now, self._rows[-1]["recorded_at"])
        return [self._append(command, now) for command in commands]

    def _append(self, command: Command, now: datetime) -> Verdict:
        refusal = self._known(command) or self._fenced(command) or self._conflict(command)
        if refusal is not None:
            return refusal
        rows = [self._store(entry, now) for entry in command.entries]
        return Verdict(
            "appended",
            tuple(row["position"] for row in rows),
            tuple(row["version"] for row in rows),
        )

    def _known(self, command: Command) -> Verdict | None:
        known = [self._by_id.get(entry.event_id) for entry in command.entries]
        if not any(known):
            return None
        rows = [
            row
            for entry, row in zip(command.entries, known, strict=True)
            if row is not None and _same(entry, row)
        ]
        if len(rows) < len(known):
            return Verdict("other_content", stream=command.entries[0].stream)
        return Verdict(
            "duplicate",
            tuple(row["position"] for row in rows),
            tuple(row["version"] for row in rows),
        )

    def _fenced(self, command: Command) -> Verdict | None:
        if command.lease is None:
            return None
        stream = f"lease/{command.lease.name}"
        if self._versions[stream] == command.lease.epoch:
            return None
        return Verdict("fenced", stream=stream, current=self._versions[stream])

    def _conflict(self, command: Command) -> Verdict | None:
        ahead: Counter[str] = Counter()
        for entry in command.entries:
            current = self._versions[entry.stream]
            if entry.expected is not None and entry.expected != current + ahead[entry.stream]:
                return Verdict("conflict", stream=entry.stream, current=current)
            ahead[entry.stream] += 1
        return None

    def _store(self, entry: Entry, now: datetime) -> dict[str, Any]:
        self._versions[entry.stream] += 1
        chain = f"telemetry_{now:%Y%m%d}" if entry.telemetry else None
        row = {
            "position": len(self._rows) + 1,
            "event_id": entry.event_id,
            "stream": entry.stream,
            "version": self._versions[entry.stream],
            "type": entry.type,
            "schema_version": entry.schema_version,
            "data": entry.data.encode(),
            "meta": entry.meta.encode(),
            "recorded_at": now,
            "telemetry": chain,
        }
        before = self._hashes.get(chain) or hashlib.sha256((chain or "facts").encode()).digest()
        row["hash"] = self._hashes[chain] = hashlib.sha256(before + leaf(row)).digest()
        self._rows.append(row)
        self._by_id[entry.event_id] = row
        return row

    async def read(self, after: int, limit: int) -> Sequence[Row]:
        """Return the rows behind a position, in order."""
        return self._rows[after : after + limit]

    async def page(
        self, question: HistoryQuestion, through: int, limit: int
    ) -> tuple[Sequence[Row], Head]:
        """Return rows behind `after` and at most at `through`, and the head."""
        types, since = question.types, question.telemetry_since
        wanted = [
            row
            for row in self._rows[question.after : through]
            if (types is None or row["type"] in types)
            and not (row["telemetry"] and since and row["recorded_at"] < since)
        ]
        return wanted[:limit], await self.head()

    async def facts_of(self, question: FactsQuestion, limit: int) -> Sequence[Row]:
        """Return the facts asked for up to a position, in order, the latest `limit` of them."""
        found = [
            row
            for row in self._rows[: question.through]
            if not row["telemetry"]
            and (row["stream"] == question.stream or row["position"] in question.positions)
        ]
        return found[-limit:]

    async def head(self) -> Head:
        """Return the newest position."""
        now = self._clock.now()
        if not self._rows:
            return Head(0, None, now)
        last = self._rows[-1]
        return Head(len(self._rows), last["event_id"], max(now, last["recorded_at"]))

    async def lag(self) -> Lag:
        """Return where the publisher stands; nobody projects a list."""
        waiting = self._rows[self._cursor : self._cursor + 1]
        since = waiting[0]["recorded_at"] if waiting else None
        return Lag(len(self._rows), self._clock.now(), Reached(self._cursor, since), None)

    async def cursor(self) -> int:
        """Return the position published through."""
        return self._cursor

    async def standings(self) -> list[Standing]:
        """Return nothing: a list is not rewound."""
        return []

    async def telemetry_versions(self) -> Mapping[str, int]:
        """Return the version that each stream goes on from."""
        return self._versions

    async def move_cursor(self, before: int, after: int, _event_id: str) -> bool:
        """Move the cursor if it still stands at `before`; return whether it did."""
        if self._cursor != before:
            return False
        self._cursor = after
        return True

    async def make_partitions(self) -> None:
        """Do nothing: a list has no partitions."""

    async def everything(self) -> AsyncIterator[Sequence[Row]]:
        """Yield every stored row in order."""
        if self._rows:
            yield self._rows

    async def selected(self, question: ExportQuestion, through: int, limit: int) -> Sequence[Row]:
        """Return what a question asks for, up to a position, in order."""
        rows = self._rows[question.after : through]
        return [row for row in rows if _is_asked_for(question, row)][:limit]

    async def seals(self) -> list[Seal]:
        """Return nothing: no partition is dropped here."""
        return []


def _is_asked_for(question: ExportQuestion, row: Row) -> bool:
    families = {row["stream"], row["stream"].partition("/")[0] + "/"}
    return (
        (question.types is None or row["type"] in question.types)
        and (question.streams is None or not families.isdisjoint(question.streams))
        and (question.since is None or row["recorded_at"] >= question.since)
        and (question.until is None or row["recorded_at"] < question.until)
    )


def _same(entry: Entry, row: dict[str, Any]) -> bool:
    stored = (row["stream"], row["type"], row["schema_version"], row["data"])
    return stored == (entry.stream, entry.type, entry.schema_version, entry.data.encode())
