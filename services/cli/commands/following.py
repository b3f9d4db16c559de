"""Following long work: a bar on a terminal, lines elsewhere, of JSON for programs.

Progress is on standard error, so that standard output is the answer alone. Ctrl-C ends the work.
"""

from __future__ import annotations

import sys
from contextlib import contextmanager
from time import sleep
from typing import TYPE_CHECKING, Annotated, Any, Protocol

import orjson
import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from services.chassis.clock import SystemClock
from services.chassis.errors import Unavailable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    Tell = Callable[[int, int, str], None]

LOOK_S, FIRST_LOOK_S = 0.5, 0.05
PATIENCE_S = 60.0  # for a gateway or a journal that is started again
LINE_EVERY_S, JSON_EVERY_S = 5.0, 1.0
INTERRUPTED = 130
As_JSON = Annotated[
    bool,
    typer.Option("--json", help="Print the answer as JSON; progress too, where no terminal is."),
]


class Gateway(Protocol):
    """What answers."""

    def get(self, path: str, parameters: Any = None) -> Any:
        """Return what is at a path below /api/v1."""

    def post(self, path: str, body: Mapping[str, Any] | None = None) -> Any:
        """Return what a command came to."""

    def lines(self, path: str, parameters: Any) -> tuple[Mapping[str, str], bytes]:
        """Return an answer that is no envelope: its headers and its bytes."""


def print_json(found: Any) -> None:
    """Write an answer for machines."""
    typer.echo(orjson.dumps(found).decode())


def follow(
    gateway: Gateway, kind: str, title: str, *, as_json: bool = False, **parameters: str
) -> dict[str, Any]:
    """Start a job on the log, or join the one under way, and return its result.

    Raises Unavailable when it fails, is cancelled, or nobody answers for too long.
    """
    job = gateway.post("/log/jobs", {"kind": kind, **parameters})
    try:
        with telling(title, as_json=as_json) as tell:
            job = _at_its_end(gateway, job, tell)
    except KeyboardInterrupt:
        gateway.post(f"/log/jobs/{job['job_id']}/cancel")
        sys.stderr.write(f"{job['job_id']} is asked to end\n")
        raise typer.Exit(INTERRUPTED) from None
    if job["state"] != "done":
        why = job["problem"] or "it was asked to end"
        raise Unavailable(f"{job['job_id']} {job['state']}: {why}")
    result: dict[str, Any] = job["result"]
    return result


def _at_its_end(gateway: Gateway, job: dict[str, Any], tell: Tell) -> dict[str, Any]:
    clock = SystemClock()
    heard_at, wait_s = clock.monotonic(), FIRST_LOOK_S
    while job["state"] in ("waiting", "running"):
        sleep(wait_s)
        wait_s = min(LOOK_S, wait_s * 2)
        try:
            job = gateway.get(f"/log/jobs/{job['job_id']}")
        except Unavailable:
            if clock.monotonic() - heard_at > PATIENCE_S:
                raise
            continue
        heard_at = clock.monotonic()
        progress = job["progress"]
        if progress:
            tell(progress["done"], progress["total"], progress["what"])
    return job


@contextmanager
def telling(title: str, *, as_json: bool = False) -> Iterator[Tell]:
    """Yield what shows how far a work is, on standard error."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield _JSONLines(title) if as_json else _Lines(title)
        return
    columns = (
        TextColumn(title),
        BarColumn(),
        TaskProgressColumn(),
        TextColumn("{task.fields[said]}"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task(title, total=None, said="")

        def tell(done: int, total: int, what: str) -> None:
            bar.update(task, completed=done, total=total, said=f"{done:,} of {total:,} {what}")

        yield tell


class _Lines:
    """Plain lines, for logs and pipes."""

    def __init__(self, title: str) -> None:
        self._title, self._clock = title, SystemClock()
        self._told_at = self._clock.monotonic()

    def __call__(self, done: int, total: int, what: str) -> None:
        now = self._clock.monotonic()
        if now - self._told_at >= LINE_EVERY_S:
            self._told_at = now
            sys.stderr.write(f"{self._title}: {done} of {total} {what}\n")


class _JSONLines:
    """Lines of JSON, for programs: the first, one a second, and the last."""

    def __init__(self, title: str) -> None:
        self._title, self._clock = title, SystemClock()
        self._told_at, self._told = -JSON_EVERY_S, (-1, -1)

    def __call__(self, done: int, total: int, what: str) -> None:
        now = self._clock.monotonic()
        is_due = done == total or now - self._told_at >= JSON_EVERY_S
        if is_due and (done, total) != self._told:
            self._told_at, self._told = now, (done, total)
            said = {"work": self._title, "done": done, "total": total, "what": what}
            sys.stderr.write(orjson.dumps({"progress": said}).decode() + "\n")
