"""Verify the log: positions dense, streams dense, chains whole; the first bad position is named."""

from __future__ import annotations

import hashlib
from bisect import bisect_right
from collections import Counter
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

import orjson

from services.journal.digest import EPOCH, leaf
from services.journal.invariants import Invariants
from services.journal.records import never_mind

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping, Sequence
    from datetime import datetime

    from services.journal.records import Head, Seal, Tell

SEALED = "log.partition_sealed"


@dataclass(frozen=True, slots=True)
class Standing:
    """Something that stands on a position of the log, and the event that is there now.

    is_sealed: no event is there any more, for its partition was dropped. is_cache: it may go.
    """

    name: str
    position: int
    event_id: str | None
    stands_on: str | None
    is_sealed: bool = False
    is_cache: bool = False

    def rewind(self, head: int) -> str | None:
        """Return how it shows that the log was rewound, None when it does not."""
        if self.position == 0 or self.is_sealed:
            return None
        if self.stands_on is None:
            there = f"and the log ends at {head}" if self.position > head else "which is gone"
        elif self.event_id in (None, self.stands_on):
            return None
        else:
            there = f"and the log holds {self.stands_on} there"
        return f"{self.name} stands at {self.position} on event {self.event_id}, {there}"


class Verifiable(Protocol):
    """What a log must do to be verified."""

    def everything(self) -> AsyncIterator[Sequence[Any]]:
        """Yield every stored row in order, `hash` and `telemetry` (partition or None) included."""

    async def seals(self) -> list[Seal]:
        """Return what dropped partitions left behind, in order."""

    async def head(self) -> Head:
        """Return the newest position."""

    async def standings(self) -> list[Standing]:
        """Return what stands on a position: the cursor, checkpoints, snapshots."""

    async def telemetry_versions(self) -> Mapping[str, int]:
        """Return the version that each telemetry stream goes on from."""


@dataclass
class Report:
    """What was found; `ok` is False when `problem` says what is wrong, at `position` if at one.

    hash: the facts' chain at its end (hex). rewinds: who saw a log that this one is not.
    """

    ok: bool = True
    checked: int = 0
    head: int = 0
    hash: str = ""
    seals: int = 0
    position: int | None = None
    problem: str | None = None
    rewinds: list[str] = field(default_factory=list)

    def as_dict(self) -> dict[str, Any]:
        """Return the report as JSON values."""
        return asdict(self)

    def blame(self, position: int | None, problem: str) -> None:
        """Note a problem; the first one counts."""
        if self.ok:
            self.ok, self.position, self.problem = False, position, problem


class Checker:
    """Walks the log row by row, and at the end looks back; pure but for the hash."""

    def __init__(self, seals: Sequence[Seal] = ()) -> None:
        self.report = Report()
        # Of telemetry streams: told since positions were last skipped, and those told before only.
        self._versions: dict[str, int] = {}
        self._versions_before: dict[str, int] = {}
        self._fact_versions: dict[str, int] = {}
        self._chains: dict[str | None, bytes] = {}
        self._walked: Counter[str] = Counter()
        self._skipped: Counter[str] = Counter()
        self._told: dict[str, tuple[int, Mapping[str, Any]]] = {}
        self._moment: datetime = EPOCH
        self._sealed_before = {seal.partition for seal in seals}
        self.invariants = Invariants()
        self.see(seals)

    def see(self, seals: Sequence[Seal]) -> None:
        """Take the seals as they are now: partitions may be dropped while the log is walked."""
        self._seals = sorted(seals, key=lambda seal: seal.first)
        self._firsts = [seal.first for seal in self._seals]

    def missing(self, position: int) -> int | None:
        """Return the first position between here and there that no seal accounts for."""
        expected = self.report.head + 1
        while expected < position:
            seal = self._seal_at(expected)
            if seal is None:
                return expected
            expected = min(seal.last, position - 1) + 1
        return None if expected == position else expected

    def check(self, row: Any) -> bool:
        """Return whether the row is sound and the walk may go on."""
        problem = self._problem(row)
        if problem is not None:
            self.report.blame(row["position"], problem)
            return False
        self.report.checked += 1
        self.report.head = row["position"]
        return True

    def _problem(self, row: Any) -> str | None:
        position = row["position"]
        if position != self.report.head + 1:
            missing = self.missing(position)
            if missing is not None:
                return f"position {missing} is missing"
            self._skip(position)
        if row["recorded_at"] < self._moment:
            return f"it was recorded before the one ahead of it, at {row['recorded_at']}"
        self._moment = row["recorded_at"]
        return self._wrong_version(row) or self._wrong_hash(row) or self._broken(row)

    def _broken(self, row: Any) -> str | None:
        """Return which promise of the control plane the row breaks."""
        found = self.invariants.apply(row)
        return f"{found[0].invariant}: {found[0].detail}" if found else None

    def version_of(self, stream: str) -> int:
        """Return the last version of a telemetry stream that was walked over, 0 when none was."""
        return self._versions.get(stream) or self._versions_before.get(stream, 0)

    def _wrong_version(self, row: Any) -> str | None:
        stream, version = row["stream"], row["version"]
        is_telemetry = row["telemetry"] is not None
        versions = self._versions if is_telemetry else self._fact_versions
        before, may_jump = versions.get(stream, 0), False
        if is_telemetry and not before:
            before, may_jump = self._versions_before.pop(stream, 0), True
        versions[stream] = version
        if version == before + 1 or (before and may_jump and version > before):
            return None  # some of it may have been dropped while the log was walked
        if before:
            return f"{stream} goes from version {before} to {version}"
        if is_telemetry and self._seals and self._firsts[0] < row["position"]:
            return None  # its beginning was dropped
        return f"{stream} begins at version {version}"

    def _wrong_hash(self, row: Any) -> str | None:
        chain = row["telemetry"]
        before = self._chains.get(chain) or hashlib.sha256((chain or "facts").encode()).digest()
        self._chains[chain] = made = hashlib.sha256(before + leaf(row)).digest()
        if made != row["hash"]:
            return f"the stored fields of {row['type']} in {row['stream']} do not give its hash"
        if chain is not None:
            self._walked[chain] += 1
            if chain in self._sealed_before:
                return f"it is in {chain}, which is sealed as dropped"
        elif row["type"] == SEALED:
            told = orjson.loads(row["data"])
            self._told[told["partition"]] = (row["position"], told)
        return None

    def _seal_at(self, position: int) -> Seal | None:
        place = bisect_right(self._firsts, position) - 1
        seal = self._seals[place] if place >= 0 else None
        return seal if seal is not None and position <= seal.last else None

    def _skip(self, position: int) -> None:
        """Count the positions up to this one for the seals that account for them."""
        expected = self.report.head + 1
        while expected < position and (seal := self._seal_at(expected)) is not None:
            through = min(seal.last, position - 1)
            self._skipped[seal.partition] += through - expected + 1
            expected = through + 1
        self._versions_before |= self._versions
        self._versions.clear()

    def finish(self, head: int = 0) -> Report:
        """Return the report, after holding every seal against its fact and what it had.

        head: how far the log goes by now; a seal behind what was walked is left for the next walk.
        """
        self._seals = [
            seal for seal in self._seals if not self.report.head < seal.sealed_by <= head
        ]
        last = max((seal.last for seal in self._seals), default=0)
        if last > self.report.head:
            missing = self.missing(last + 1)
            if missing is not None:
                self.report.blame(missing, f"position {missing} is missing")
            self._skip(last + 1)
        for seal in self._seals:
            problem = self._wrong_seal(seal)
            if problem is not None:
                self.report.blame(seal.sealed_by or seal.first, problem)
        unsealed = set(self._told) - {seal.partition for seal in self._seals}
        for partition in sorted(unsealed):
            self.report.blame(self._told[partition][0], f"{partition} is sealed and has no seal")
        self.report.head = max(self.report.head, last)
        self.report.hash = self._chains.get(None, b"").hex()
        self.report.seals = len(self._seals)
        return self.report

    def _wrong_seal(self, seal: Seal) -> str | None:
        name, told = seal.partition, self._told.get(seal.partition)
        if told is None or told[0] != seal.sealed_by:
            return f"no fact at {seal.sealed_by} seals {name}"
        stored = (seal.first, seal.last, seal.events, seal.last_hash.hex())
        names = ("first_position", "last_position", "events", "last_hash")
        for field_, value in zip(names, stored, strict=True):
            if told[1][field_] != value:
                return f"the seal of {name} says {field_} {value}, its fact {told[1][field_]}"
        gone, walked = self._skipped[name], self._walked[name]
        if gone + walked != seal.events:
            return f"{gone + walked} positions of {name} are gone, {seal.events} were sealed"
        if walked == seal.events and self._chains[name] != seal.last_hash:
            return f"the chain of {name} ended otherwise than its seal says"
        return None


async def verify(log: Verifiable, tell: Tell = never_mind) -> Report:
    """Walk the whole log and return what was found."""
    total = (await log.head()).position
    checker = Checker(await log.seals())
    async for rows in log.everything():
        if rows[-1]["position"] != checker.report.head + len(rows):
            checker.see(await log.seals())
        for row in rows:
            if not checker.check(row):
                return checker.report
        tell(checker.report.head, total, "events")
    checker.see(await log.seals())
    report = checker.finish((await log.head()).position)
    for stream, version in (await log.telemetry_versions()).items():
        if checker.version_of(stream) > version:
            report.blame(None, f"{stream} would use versions behind {version} again")
    _look_for_rewinds(report, await log.standings())
    return report


def _look_for_rewinds(report: Report, standings: Sequence[Standing]) -> None:
    for standing in standings:
        rewind = standing.rewind(report.head)
        if rewind is not None:
            report.rewinds.append(rewind)
            if not standing.is_cache:
                report.blame(None, f"the log was rewound: {rewind}; rebuild on command")
