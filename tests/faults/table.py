"""What `just faults` prints: a table for people as it goes, one line of JSON at the end."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from tests.faults.registry import Row
    from tests.faults.running import Outcome

WIDTH = 140


def listed(rows: Iterable[Row]) -> None:
    """Print the whole matrix: what breaks, what must hold, and how it is injected."""
    table = Table("#", "fault", "must hold", "how here", show_lines=True)
    for row in sorted(rows, key=lambda each: each.number):
        how = f"not run: {row.not_run}" if row.not_run else row.inject
        table.add_row(str(row.number), row.fault, row.holds, how)
    Console(width=WIDTH).print(table)


def begins(row: Row) -> None:
    """Say which row is lived through now."""
    print(f"{row.number:>3}  {row.fault} ...", file=sys.stderr, flush=True)


def ended(outcome: Outcome) -> None:
    """Say what became of it."""
    back = "" if outcome.recovery_s is None else f", back after {outcome.recovery_s:.1f} s"
    took = f"{outcome.took_s:.0f} s"
    print(f"{outcome.row.number:>3}  {outcome.said}{back}, {took}", file=sys.stderr, flush=True)


def summary(outcomes: Sequence[Outcome]) -> None:
    """Print what became of each row."""
    table = Table("#", "fault", "must hold", "result", "back after (s)", "took (s)")
    for each in sorted(outcomes, key=lambda outcome: outcome.row.number):
        recovery = "" if each.recovery_s is None else f"{each.recovery_s:.1f}"
        took = f"{each.took_s:.0f}" if each.was_run else ""
        result = each.said if each.passed else f"[red]{each.said}"
        table.add_row(str(each.row.number), each.row.fault, each.row.holds, result, recovery, took)
    Console(width=WIDTH).print(table)


def last_line(outcomes: Sequence[Outcome]) -> None:
    """Print the sums as one JSON object on one line."""
    run = [each for each in outcomes if each.was_run]
    back = [each.recovery_s for each in run if each.recovery_s is not None]
    sums = {
        "rows": len(run),
        "passed": sum(each.passed for each in run),
        "slowest_recovery_s": round(max(back), 1) if back else None,
    }
    print(json.dumps(sums), flush=True)
