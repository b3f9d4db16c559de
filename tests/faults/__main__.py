"""`just faults [ROW ...]`: run rows of the fault matrix; exit 1 when one fails."""

from __future__ import annotations

import asyncio
import sys

from tests.faults import rows
from tests.faults.registry import ROWS
from tests.faults.running import run
from tests.faults.table import last_line, listed

USAGE = "usage: just faults [ROW ...] | just faults list"


def main(arguments: list[str]) -> int:
    """Run the rows that are named, all when none is."""
    assert rows.__all__
    if arguments == ["list"]:
        listed(ROWS.values())
        return 0
    try:
        wanted = sorted({int(each) for each in arguments} or ROWS)
        chosen = [ROWS[number] for number in wanted]
    except (ValueError, KeyError) as error:
        print(f"{USAGE}; no such row: {error}", file=sys.stderr)
        return 2
    outcomes = asyncio.run(run(chosen))
    last_line(outcomes)
    return 0 if all(outcome.passed for outcome in outcomes if outcome.was_run) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
