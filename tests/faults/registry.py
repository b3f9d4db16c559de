"""The rows of the matrix: what breaks, what must hold, and how it is done here."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from tests.faults.ground import Ground

    Scenario = Callable[[Ground], Awaitable[None]]


@dataclass(frozen=True)
class Row:
    """One fault. It has a scenario on a running fleet, tests that prove it, both, or a reason.

    tests: node ids of pytest that live through this very fault; not_run: why it cannot be here.
    """

    number: int
    fault: str
    holds: str
    inject: str
    scenario: Scenario | None = None
    tests: tuple[str, ...] = ()
    not_run: str = ""


ROWS: dict[int, Row] = {}


def row(
    number: int,
    fault: str,
    holds: str,
    inject: str,
    *,
    tests: tuple[str, ...] = (),
    as_root: bool = False,
) -> Callable[[Scenario], Scenario]:
    """Register a scenario under its number of the matrix."""
    cannot = "only root can inject it" if as_root and os.geteuid() != 0 else ""

    def register(scenario: Scenario) -> Scenario:
        _add(Row(number, fault, holds, inject, scenario, tests, cannot))
        return scenario

    return register


def proven(number: int, fault: str, holds: str, inject: str, *tests: str) -> None:
    """Register a row that tests on engines or processes of their own live through."""
    _add(Row(number, fault, holds, inject, tests=tests))


def not_run(number: int, fault: str, holds: str, why: str) -> None:
    """Register a row that cannot be run here, with the reason."""
    _add(Row(number, fault, holds, "", not_run=why))


def _add(made: Row) -> None:
    if made.number in ROWS:
        raise ValueError(f"there are two rows {made.number}")
    ROWS[made.number] = made
