"""What a benchmark prints: a table for people, and one line of JSON for programs."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from statistics import median, quantiles

from rich.console import Console
from rich.table import Table


def show(title: str, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Print a table; numbers to the right."""
    table = Table(title=title)
    for number, column in enumerate(columns):
        table.add_column(column, justify="left" if number == 0 else "right")
    for row in rows:
        table.add_row(*(_text(cell) for cell in row))
    Console(width=110).print(table)


def last_line(results: Mapping[str, float | int | str | None]) -> None:
    """Print the results as one JSON object on one line."""
    print(json.dumps(dict(results)), flush=True)


def percentile(values: Sequence[float], percent: int) -> float:
    """Return the percentile of some values, 1 to 99."""
    if len(values) < 2:  # noqa: PLR2004
        return values[0]
    return quantiles(values, n=100, method="inclusive")[percent - 1]


def middle(values: Sequence[float]) -> float:
    """Return the median."""
    return median(values)


def _text(cell: object) -> str:
    if isinstance(cell, float):
        return f"{cell:,.0f}" if abs(cell) >= 100 else f"{cell:,.2f}"  # noqa: PLR2004
    return f"{cell:,}" if isinstance(cell, int) else str(cell)
