"""EXPECTED: what a history was made into when it was taken, and the changes declared since."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.replay import history
from tests.replay.told import Decided, decisions, read_models

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

DECLARED = Path(__file__).parent / "declared.md"
DECISIONS = "every pass"
AS_DECIDED = "decided as it was"
BATCH = 1000

Parts = dict[str, str]  # a read model, DECISIONS or AS_DECIDED: its hash


@dataclass(frozen=True)
class Difference:
    """A part of a history that came out as nobody declared."""

    history: str
    part: str
    wanted: str
    found: str

    def __str__(self) -> str:
        """Return it as a sentence."""
        return f"{self.history}: {self.part} is {self.found[:12]} and was {self.wanted[:12]}"


def today(name: str) -> dict[str, Any]:
    """Return all that a history is made into now."""
    events = history.read(name)
    decided = decisions(events)
    return {
        "history": sha256(history.plain(name)).hexdigest(),
        "events": len(events),
        "passes": decided.passes,
        "proposals": decided.proposals,
        "parts": {**asyncio.run(read_models(events, batch=BATCH)), **hashes(decided)},
        "decided": decided.said,
    }


def hashes(decided: Decided) -> Parts:
    """Return the hashes of all passes, and of what is not decided where it was."""
    said = [f"{position} {digest}" for position, digest in decided.said.items()]
    return {DECISIONS: _hash(said), AS_DECIDED: _hash(map(str, decided.astray))}


def _hash(lines: Iterable[str]) -> str:
    return sha256("\n".join(lines).encode()).hexdigest()


def stored(name: str) -> dict[str, Any]:
    """Return what a history was made into when it was taken; it is never written again."""
    told: dict[str, Any] = json.loads(_place(name).read_text())
    return told


def store(name: str) -> None:
    """Keep what a history is made into now."""
    _place(name).write_text(json.dumps(today(name), indent=1) + "\n")


def _place(name: str) -> Path:
    return history.HOME / f"{name}.json"


def wanted(name: str) -> Parts:
    """Return the hash that each part must have: the newest declared, or else the stored one."""
    parts: Parts = stored(name)["parts"]
    return parts | {part: hash_ for where, part, hash_ in declared() if where == name}


def declared() -> list[tuple[str, str, str]]:
    """Return the declared changes in order: history, part, its hash since."""
    found = []
    for line in DECLARED.read_text().splitlines():
        cells = [cell.strip(" `") for cell in line.strip().strip("|").split("|")]
        if line.startswith("|") and len(cells) == 4 and len(cells[2]) == 64:
            if not cells[3]:
                raise ValueError(f"{DECLARED.name}: {cells[0]}, {cells[1]}: no reason is given")
            found.append((cells[0], cells[1], cells[2]))
    return found


def declare(differences: list[Difference], because: str) -> None:
    """Declare changes with their reason."""
    with DECLARED.open("a") as file:
        for each in differences:
            file.write(f"| {each.history} | {each.part} | `{each.found}` | {because} |\n")


def differences(name: str, found: Mapping[str, str]) -> list[Difference]:
    """Return the parts that are neither as they were nor as it was declared."""
    expected = wanted(name)
    return [
        Difference(name, part, expected.get(part, "not there"), found.get(part, "not there"))
        for part in sorted(expected.keys() | found.keys())
        if expected.get(part) != found.get(part)
    ]


def first_other_pass(name: str, said: Mapping[str, str]) -> int | None:
    """Return the first position at which decisions are not those that were stored."""
    then = stored(name)["decided"]
    other = [int(at) for at in then.keys() | said.keys() if then.get(at) != said.get(at)]
    return min(other, default=None)
