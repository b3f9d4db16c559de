"""`python -m tests.replay check | record NAME [from=FILE | seed=N | because=WHY]`."""

from __future__ import annotations

import gzip
import sys
from collections.abc import Sequence
from pathlib import Path
from unittest.mock import patch

from services.chassis import wire
from tests.replay import expected, history
from tests.replay.told import Proposals, decisions

USAGE = """usage: python -m tests.replay check [NAME...]      are the histories made into what they were?
       python -m tests.replay record NAME from=FILE    take a `quartermaster log export`
       python -m tests.replay record NAME seed=N       take a seed of the simulation
       python -m tests.replay record NAME              keep what a history that lies there is made into
       python -m tests.replay record NAME because=WHY  declare what is different today"""
MISUSED = 2


def main(arguments: Sequence[str]) -> int:
    """Do as asked; 1: something is not as it was."""
    match list(arguments):
        case ["check", *names]:
            return check(names or history.names())
        case ["record", name] if name not in history.names():
            expected.store(name)
            return 0
        case ["record", name, option] if "=" in option:
            return record(name, *option.split("=", 1))
        case _:
            print(USAGE, file=sys.stderr)
            return MISUSED


def check(names: Sequence[str]) -> int:
    """Tell what is not as it was, and of decisions the first."""
    wrong = 0
    for name in names:
        found = expected.today(name)
        different = expected.differences(name, found["parts"])
        for each in different:
            print(each)
            if each.part == expected.DECISIONS:
                tell(name, expected.first_other_pass(name, found["decided"]))
        wrong += len(different)
        print(
            f"{name}: {found['events']} events, {found['passes']} passes, {len(different)} differ"
        )
    return 1 if wrong else 0


def tell(name: str, position: int | None) -> None:
    """Print what is decided at a position."""

    def look(at: int, proposals: Proposals) -> None:
        if at == position:
            print(f"    at position {at} it is decided now:")
            for draft in (draft for drafts in proposals for draft in drafts):
                print(f"    {draft.stream}: {draft.event!r}")

    decisions(history.read(name), look=look)


def record(name: str, option: str, value: str) -> int:
    """Take a new history, or declare what is different in a known one."""
    if option == "because":
        found = expected.today(name)["parts"]
        expected.declare(expected.differences(name, found), value)
        return 0
    if name in history.names():
        print(f"{name} is there: histories are kept as they are", file=sys.stderr)
        return MISUSED
    if option == "from":
        history.write(name, exported(Path(value)))
    elif option == "seed":
        history.write(name, simulated(int(value)))
    else:
        print(USAGE, file=sys.stderr)
        return MISUSED
    expected.store(name)
    return 0


def exported(file: Path) -> list[bytes]:
    """Return the lines of an export."""
    read = file.read_bytes()
    return (gzip.decompress(read) if file.suffix == ".gz" else read).splitlines()


def simulated(seed: int) -> list[bytes]:
    """Return the lines that a seed of the simulation records."""
    from tests.simulation import world

    worlds = []

    class Kept(world.World):
        def __init__(self, *arguments: object) -> None:
            super().__init__(*arguments)  # type: ignore[arg-type]
            worlds.append(self)

    with patch.object(world, "World", Kept):
        outcome = world.run(seed)
    if outcome.violations:
        raise SystemExit(f"seed {seed}: {outcome.violations}")
    return [wire.recorded_bytes(row) for row in worlds[0].log._rows]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
