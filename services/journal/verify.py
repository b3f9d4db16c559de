"""Verify the log: positions dense, streams dense, chains whole; the first bad position is named."""

from __future__ import annotations

import hashlib
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Verifiable(Protocol):
    """What a log must do to be verified."""

    def everything(self) -> AsyncIterator[Sequence[Any]]:
        """Yield every stored row in order, `hash` and `telemetry` (partition or None) included."""

    async def seals(self) -> list[tuple[int, int]]:
        """Return the first and last positions of dropped partitions."""

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
    """Walks the log row by row; pure but for the hash."""

    seals: dict[int, int] = field(default_factory=dict)
    report: Report = field(default_factory=Report)
    _chains: dict[str | None, bytes] = field(default_factory=dict)
    _versions: dict[str, int] = field(default_factory=dict)

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
        expected = self.report.head + 1
        while expected in self.seals:
            expected = self.seals[expected] + 1
        if row["position"] != expected:
            return f"position {expected} is missing"
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


def leaf(row: Any) -> bytes:
    """Return the bytes an event's hash is made over; the same as log.leaf in the database."""
    texts = (row["stream"], row["type"], row["data"], row["meta"])
    stream, type_, data, meta = (
        text if isinstance(text, bytes) else text.encode() for text in texts
    )
    micros = (row["recorded_at"] - EPOCH) // _MICROSECOND
    return b"".join(
        (
            f"{row['position']}:{row['event_id']}:{len(stream)}:".encode(),
            stream,
            f":{row['version']}:{len(type_)}:".encode(),
            type_,
            f":{row['schema_version']}:{len(data)}:".encode(),
            data,
            f":{len(meta)}:".encode(),
            meta,
            f":{micros}".encode(),
        )
    )


_MICROSECOND = datetime.resolution


async def verify(log: Verifiable) -> Report:
    """Walk the whole log and return what was found."""
    checker = Checker(dict(await log.seals()))
    async for rows in log.everything():
        for row in rows:
            if not checker.check(row):
                return checker.report
    if not await log.cursor_is_right():
        checker.report.ok = False
        checker.report.problem = "the publisher stood on another event: the log was rewound"
    return checker.report
