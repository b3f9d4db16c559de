"""Verify the log: positions dense, streams dense, chains whole; the first bad position is named."""

from __future__ import annotations

import hashlib
from collections import Counter
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from services.journal.digest import EPOCH, leaf

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence
    from datetime import datetime

    from services.journal.records import Seal


class Verifiable(Protocol):
    """What a log must do to be verified."""

    def everything(self) -> AsyncIterator[Sequence[Any]]:
        """Yield every stored row in order, `hash` and `telemetry` (partition or None) included."""

    async def seals(self) -> list[Seal]:
        """Return what dropped partitions left behind, in order."""

    async def cursor_is_right(self) -> bool:
        """Return whether the publisher's cursor stands on the event it names."""


@dataclass
class Report:
    """What was found; `ok` is False when `problem` names the first bad position."""

    ok: bool = True
    checked: int = 0
    head: int = 0
    position: int | None = None
    problem: str | None = None

    def as_dict(self) -> dict[str, Any]:
        """Return the report as JSON values."""
        return asdict(self)


@dataclass
class Checker:
    """Walks the log row by row, and at the end looks back; pure but for the hash."""

    seals: Sequence[Seal] = ()
    report: Report = field(default_factory=Report)
    _chains: dict[str | None, bytes] = field(default_factory=dict)
    _versions: dict[str, int] = field(default_factory=dict)
    _moment: datetime = EPOCH
    _sealed: Counter[Seal] = field(default_factory=Counter)

    def check(self, row: Any) -> bool:
        """Return whether the row is sound and the walk may go on."""
        problem = self._problem(row)
        if problem is not None:
            self.report.ok, self.report.problem = False, problem
            self.report.position = row["position"]
            return False
        self.report.checked += 1
        self.report.head = row["position"]
        return True

    def _problem(self, row: Any) -> str | None:
        missing = self._missing(row["position"])
        if missing is not None:
            return f"position {missing} is missing"
        if row["recorded_at"] < self._moment:
            return f"it was recorded before the one ahead of it, at {row['recorded_at']}"
        self._moment = row["recorded_at"]
        version = self._versions.get(row["stream"])
        if version is not None and row["version"] != version + 1:
            return f"{row['stream']} goes from version {version} to {row['version']}"
        if version is None and row["version"] != 1 and row["telemetry"] is None:
            return f"{row['stream']} begins at version {row['version']}"
        self._versions[row["stream"]] = row["version"]
        chain = row["telemetry"]
        before = self._chains.get(chain) or hashlib.sha256((chain or "facts").encode()).digest()
        self._chains[chain] = hashlib.sha256(before + leaf(row)).digest()
        if self._chains[chain] != row["hash"]:
            return f"the stored fields of {row['type']} in {row['stream']} do not give its hash"
        return None

    def _missing(self, position: int) -> int | None:
        """Return the first position before this one that neither a row nor a seal accounts for."""
        expected = self.report.head + 1
        while expected < position:
            seal = next((s for s in self.seals if s.first <= expected <= s.last), None)
            if seal is None:
                return expected
            through = min(seal.last, position - 1)
            self._sealed[seal] += through - expected + 1
            expected = through + 1
        return None if expected == position else expected

    def finish(self) -> Report:
        """Return the report, after counting what each dropped partition had."""
        last = max((seal.last for seal in self.seals), default=0)
        missing = self._missing(last + 1) if last > self.report.head else None
        for seal in self.seals:
            if missing is None and self._sealed[seal] != seal.events:
                missing = seal.first
        if missing is not None and self.report.ok:
            self.report.ok, self.report.position = False, missing
            self.report.problem = f"position {missing} is missing, or more was dropped than sealed"
        self.report.head = max(self.report.head, last)
        return self.report


async def verify(log: Verifiable) -> Report:
    """Walk the whole log and return what was found."""
    checker = Checker(await log.seals())
    async for rows in log.everything():
        for row in rows:
            if not checker.check(row):
                return checker.report
    report = checker.finish()
    if report.ok and not await log.cursor_is_right():
        report.ok = False
        report.problem = "the publisher stood on another event: the log was rewound"
    return report
