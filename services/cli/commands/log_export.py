"""Exporting the log: pages of lines, written behind each other, gone on with where they end."""

from __future__ import annotations

import gzip
import sys
import zlib
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import IO, TYPE_CHECKING, cast

import orjson

from services.chassis.errors import Refused
from services.cli.commands.following import telling

if TYPE_CHECKING:
    from collections.abc import Iterator

    from services.cli.commands.following import Gateway

STANDARD_OUTPUT = "-"
_TAIL = 1 << 18
_CLOSED = 141  # as a shell says that who reads our output has gone


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which events."""

    types: tuple[str, ...] = ()
    streams: tuple[str, ...] = ()
    after: int = 0
    through: int | None = None
    since: str | None = None
    until: str | None = None

    def parameters(self, after: int) -> list[tuple[str, str | int | float | bool | None]]:
        """Return the query for the page behind a position."""
        asked: list[tuple[str, str | int | float | bool | None]] = [("after", after)]
        asked += [("type", name) for name in self.types]
        asked += [("stream", name) for name in self.streams]
        for name in ("through", "since", "until"):
            if (value := getattr(self, name)) is not None:
                asked.append((name, value))
        return asked


@dataclass(frozen=True, slots=True)
class Page:
    """Lines of JSON, how many events they are, how far they go, and where the log's end was."""

    lines: bytes
    events: int
    through: int
    head: int


def export(gateway: Gateway, wanted: Wanted, file: str, *, compress: bool, resume: bool) -> int:
    """Write events as lines and return how many; raises Refused for a file that is in the way.

    What is recorded meanwhile is left for the next time: the end is the head of the first page.
    """
    packed = compress or file.endswith(".gz")
    if resume:
        wanted = replace(wanted, after=max(wanted.after, last_position(file, packed=packed)))
    pages = _pages(gateway, wanted)
    first, count, last = next(pages), 0, 0  # a gateway that does not answer leaves no file behind
    with _opened(file, packed=packed, resume=resume) as out, telling("exporting") as tell:
        for page in chain((first,), pages):
            out.write(page.lines)
            count += page.events
            tell(page.through, page.head, "positions")
            last = max(page.through, page.head)
    sys.stderr.write(f"{count} events through position {last}\n")
    return count


def _pages(gateway: Gateway, wanted: Wanted) -> Iterator[Page]:
    """Yield one page after the other, at least one, to the head that the first one names."""
    after, end = wanted.after, wanted.through
    while True:
        asked = replace(wanted, through=end).parameters(after)
        headers, lines = gateway.lines("/log/export", asked)
        after, end = int(headers["qm-through"]), int(headers["qm-head"])
        yield Page(lines, int(headers["qm-events"]), after, end)
        if after >= end:
            return


def last_position(file: str, *, packed: bool) -> int:
    """Return the position of the last whole line of an export; a line cut off is cut away.

    Raises Refused for a file that is none, and leaves that as it is.
    """
    path = Path(file)
    if file == STANDARD_OUTPUT or not path.exists():
        return 0
    try:
        return _last_of_packed(path) if packed else _last_of_plain(path)
    except OSError as error:
        raise Refused(f"{path}: {error.strerror or error}") from error


def _last_of_plain(path: Path) -> int:
    with path.open("r+b") as written:
        size = written.seek(0, 2)
        start = max(0, size - _TAIL)
        written.seek(start)
        tail = written.read()
        whole = tail.rfind(b"\n") + 1
        if size == 0:
            return 0
        last = _position(path, tail[:whole].rsplit(b"\n", 2)[-2] if whole else tail)
        written.truncate(start + whole)
    return last if whole else 0


def _last_of_packed(path: Path) -> int:
    """Return the last position of a compressed export; one that was cut off is packed anew."""
    beside, last = path.with_suffix(".part"), b""
    try:
        with (
            gzip.open(beside, "wb") as out,
            suppress(EOFError),  # it ends in the middle: what was read until there is kept
            gzip.open(path) as written,
        ):
            for line in written:
                if line.endswith(b"\n"):
                    out.write(line)
                    last = line
        position = _position(path, last) if last else 0
        beside.replace(path)
    except zlib.error as error:
        raise Refused(f"{path} is damaged: {error}") from error
    finally:
        beside.unlink(missing_ok=True)
    return position


def _position(path: Path, line: bytes) -> int:
    try:
        return int(orjson.loads(line)["position"])
    except (orjson.JSONDecodeError, KeyError, TypeError, ValueError) as error:
        raise Refused(f"{path} is no export: its last line has no position") from error


@contextmanager
def _opened(file: str, *, packed: bool, resume: bool) -> Iterator[IO[bytes]]:
    if file == STANDARD_OUTPUT:
        try:
            yield sys.stdout.buffer
            sys.stdout.buffer.flush()
        except BrokenPipeError:
            sys.stderr.close()
            sys.exit(_CLOSED)
        return
    try:
        raw = Path(file).open("ab" if resume else "xb")  # noqa: SIM115 (closed below)
    except FileExistsError as error:
        raise Refused(f"{file} is there already: go on with --resume, or name another") from error
    except OSError as error:
        raise Refused(f"{file}: {error.strerror}") from error
    with raw:
        if not packed:
            yield raw
            return
        with gzip.GzipFile(fileobj=raw, mode="wb", compresslevel=1) as out:
            yield cast("IO[bytes]", out)
