"""A state as bytes and back: lines of JSON by field, compressed, and a fingerprint of its fold."""

from __future__ import annotations

import asyncio
import hashlib
import inspect
import sys
import zlib
from dataclasses import fields
from functools import cache
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import orjson
import pydantic

import contracts
from services.chassis.errors import Bug
from services.chassis.shapes import field_shapes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from services.chassis.clock import Clock
    from services.chassis.shapes import Shape

FORMAT = "quartermaster state 1"
LINE_ENTRIES = 8  # few enough that one line is dumped in a few milliseconds
ZLIB_LEVEL = 1  # a level more costs three times as long for a tenth of the size
SLICE_S = 0.005

S = TypeVar("S")
T = TypeVar("T")


class Freezer(Generic[S]):
    """Freezes and thaws the states of one class; raises Bug when the class cannot be stored.

    like: a state as it is configured; what is not stored of it is part of the fingerprint.
    """

    def __init__(self, service: str, like: S) -> None:
        cls: Any = type(like)
        self._shapes = _shapes_of(cls)
        configured = [
            f"{each.name}={getattr(like, each.name)!r}"
            for each in fields(cls)
            if each.name not in self._shapes
        ]
        shape = [f"{name}:{each.text}" for name, each in self._shapes.items()]
        self.fingerprint = _fingerprint(cls, [service, *configured, *shape])

    def freeze(self, state: S) -> Iterator[bytes]:
        """Yield the state line by line; between two lines it may not change.

        Entries of a dictionary come some to a line, so that whoever freezes can pause.
        """
        yield orjson.dumps([FORMAT, self.fingerprint])
        for name, shape in self._shapes.items():
            value = getattr(state, name)
            if isinstance(value, dict):
                yield orjson.dumps([name, None])
                for some in _slices(value):
                    yield _line(name, shape, some)
            else:
                yield _line(name, shape, value)

    def thaw(self, lines: Iterable[bytes], into: S) -> Iterator[None]:
        """Make `into` the state that was frozen, line by line and all at the end; or not at all.

        Raises ValueError, TypeError, KeyError or a like error when the lines are not of a state.
        """
        rest = iter(lines)
        if orjson.loads(next(rest, b"null")) != [FORMAT, self.fingerprint]:
            raise ValueError("it is of another shape or fold")
        values: dict[str, Any] = {}
        for line in rest:
            name, plain = orjson.loads(line)
            load = self._shapes[name].load
            if plain is None and name not in values and isinstance(getattr(into, name), dict):
                values[name] = {}
            elif name in values:
                values[name].update(plain if load is None else load(plain))
            else:
                values[name] = plain if load is None else load(plain)
            yield
        if missing := self._shapes.keys() - values.keys():
            raise ValueError(f"it lacks {', '.join(sorted(missing))}")
        for name, value in values.items():
            setattr(into, name, value)


@cache
def _shapes_of(cls: Any) -> Mapping[str, Shape]:
    return field_shapes(cls)


def _line(name: str, shape: Shape, value: Any) -> bytes:
    try:
        return orjson.dumps([name, value if shape.dump is None else shape.dump(value)])
    except orjson.JSONEncodeError as error:
        raise Bug(f"{name} is not of its shape {shape.text[:200]}: {error}") from error


def _slices(entries: dict[Any, Any]) -> Iterator[dict[Any, Any]]:
    rest = iter(entries.items())
    while some := dict(islice(rest, LINE_ENTRIES)):
        yield some


async def in_slices(
    steps: Iterable[T], clock: Clock, may_go_on: Callable[[], bool] = lambda: True
) -> list[T] | None:
    """Return what all steps gave, letting others run every few milliseconds.

    None when `may_go_on` said no in between.
    """
    given: list[T] = []
    began = clock.monotonic()
    for step in steps:
        given.append(step)
        if clock.monotonic() - began > SLICE_S:
            await asyncio.sleep(0)
            if not may_go_on():
                return None
            began = clock.monotonic()
    return given


def pack(lines: Iterable[bytes]) -> tuple[bytes, int]:
    """Return lines compressed, and how many bytes they were; worth a thread of its own."""
    plain = b"\n".join(lines)
    return zlib.compress(plain, ZLIB_LEVEL), len(plain)


def unpack(packed: bytes, plain_bytes: int) -> list[bytes]:
    """Return the lines again; raises ValueError when they are not all there, or more."""
    stream = zlib.decompressobj()
    try:
        plain = stream.decompress(packed, plain_bytes + 1)
    except zlib.error as error:
        raise ValueError(f"it cannot be unpacked: {error}") from error
    if len(plain) != plain_bytes or not stream.eof or stream.unused_data:
        raise ValueError("it is not as long as its manifest says")
    return plain.split(b"\n")


def _fingerprint(cls: type, said: list[str]) -> str:
    """Return a digest of all that makes a state what it is: its shape, and the code that folds.

    The code is the service's state room and the contracts, by their sources: whatever changed in
    them, at worst a history is read once more.
    """
    digest = hashlib.sha256(_code(cls))
    versions = [FORMAT, f"{sys.version_info[:2]}", pydantic.VERSION]
    for text in [*versions, *said]:
        digest.update(f"{len(text)}:{text}".encode())
    return digest.hexdigest()


@cache
def _code(cls: type) -> bytes:
    """Return a digest of the sources that fold states of a class, and of the contracts."""
    home = Path(inspect.getfile(cls))
    room = sorted(home.parent.rglob("*.py")) if home.name == "__init__.py" else [home]
    digest = hashlib.sha256()
    for file in [*room, *sorted(Path(contracts.__path__[0]).rglob("*.py"))]:
        source = file.read_bytes()
        digest.update(f"{file.name}:{len(source)}:".encode() + source)
    return digest.digest()
