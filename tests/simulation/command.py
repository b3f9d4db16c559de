"""`just simulate seeds=300 first=0 mutants=200`: seeds in parallel, then every mutant until found."""

from __future__ import annotations

import gc
import json
import sys
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from rich.console import Console
from rich.progress import track
from rich.table import Table

from tests.simulation.mutants import MUTANTS
from tests.simulation.world import Outcome, run

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

T = TypeVar("T")
WORKERS = 2
# What a set of seeds must have seen at least once, else it proves nothing about it.
SOMETIMES = (
    "adopted",
    "agent_fenced",
    "agent_other_boot",
    "arrived_late",
    "command_stuck",
    "conflict",
    "cursor_had_moved",
    "doubled",
    "dropped",
    "duplicate",
    "fenced",
    "history",
    "outcome_unknown",
    "reboot_a_machine",
    "redelivered",
    "replaced",
    "silence_a_machine",
    "turn_a_clock",
    "unconfirmed",
)
DEFAULTS = {"seeds": 300, "first": 0, "mutants": 200}


def main(arguments: Sequence[str]) -> int:
    """Run seeds and mutants; the last line is one JSON object. 1: something was found, or missed."""
    given = _given(arguments)
    if given is None:
        print("usage: just simulate seeds=300 first=0 mutants=200", file=sys.stderr)
        return 2
    failures, happened = _seeds(range(given["first"], given["first"] + given["seeds"]))
    found = _mutants(given["mutants"]) if given["mutants"] else {}
    zero = [name for name in SOMETIMES if not happened[name]] if given["seeds"] else []
    _show(happened, found)
    result = {
        "seeds": given["seeds"],
        "failures": len(failures),
        "mutants": len(found),
        "mutants_found": sum(seed is not None for seed in found.values()),
        "sometimes_zero": len(zero),
    }
    for name in zero:
        print(f"never happened in any seed: {name}", file=sys.stderr)
    print(json.dumps(result), flush=True)
    return 1 if failures or zero or None in found.values() else 0


def _given(arguments: Sequence[str]) -> dict[str, int] | None:
    """Return the options, None when one is not known or no number."""
    try:
        given = {name: int(value) for name, value in map(_split, arguments)}
    except ValueError:
        return None
    return None if given.keys() - DEFAULTS.keys() else {**DEFAULTS, **given}


def _split(argument: str) -> tuple[str, str]:
    name, _, value = argument.partition("=")
    return name, value


def _seeds(seeds: Sequence[int]) -> tuple[list[Outcome], Counter[str]]:
    failures, happened = [], Counter[str]()
    with _workers() as pool:
        for outcome in _watched(pool.map(run, seeds, chunksize=4), len(seeds), "seeds"):
            happened += outcome.happened
            if outcome.violations:
                failures.append(outcome)
                print(f"seed {outcome.seed}: just simulate seeds=1 first={outcome.seed} mutants=0")
                for violation in outcome.violations:
                    print(f"    {violation}")
    return failures, happened


def _workers() -> ProcessPoolExecutor:
    # What was imported is no seed's: to collect a seed that ended need not walk it.
    return ProcessPoolExecutor(WORKERS, initializer=gc.freeze)


def _mutants(within: int) -> dict[str, int | None]:
    """Return in which seed each mutant was found, None when in none."""
    with _workers() as pool:
        looked = pool.map(partial(found_in, within=within), range(len(MUTANTS)))
        found = list(_watched(looked, len(MUTANTS), "mutants"))
    return {mutant.__name__: seed for mutant, seed in zip(MUTANTS, found, strict=True)}


def found_in(number: int, within: int) -> int | None:
    """Return the first seed that finds a mutant."""
    for seed in range(within):
        with MUTANTS[number]():
            if run(seed).violations:
                return seed
    return None


def _watched(some: Iterable[T], total: int, what: str) -> Iterable[T]:
    console = Console(stderr=True)
    return track(some, what, total, console=console, disable=not console.is_terminal)


def _show(happened: Counter[str], found: dict[str, int | None]) -> None:
    table = Table(title="What happened, how often")
    table.add_column("what")
    table.add_column("times", justify="right")
    for name, times in sorted(happened.items()):
        table.add_row(name, f"{times:,}")
    Console(width=100).print(table)
    if found:
        table = Table(title="Safeguards taken away")
        table.add_column("mutant")
        table.add_column("found by seed", justify="right")
        for name, seed in found.items():
            table.add_row(name, "not found" if seed is None else str(seed))
        Console(width=100).print(table)
