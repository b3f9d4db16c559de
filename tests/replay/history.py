"""HISTORIES: logs as `quartermaster log export` writes them, free of what is nobody's business."""

from __future__ import annotations

import gzip
import re
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import orjson

from services.chassis import wire

if TYPE_CHECKING:
    from collections.abc import Iterable

    from contracts.envelope import Recorded

HOME = Path(__file__).parent / "histories"
SUFFIX = ".jsonl.gz"
MAX_BYTES = 200_000
# What a log may not tell the world: where it was made, and what opens something.
_PRIVATE = {
    "a path": re.compile(rb'"/(?:tmp|home|root|work|usr|var|etc|mnt|farm)/'),
    "an address": re.compile(rb"\b(?!127\.0\.0\.1\b)\d{1,3}(?:\.\d{1,3}){3}\b"),
    "a holder's host": re.compile(rb'"holder":"(?!host(?:-1)?:)[^"]*:\d+"'),
    "a key": re.compile(rb"-----BEGIN|Bearer |\bqm_[A-Za-z0-9]{16}"),
    "a password": re.compile(rb'"(?:password|token|secret)":"'),
}
_HOLDER = re.compile(rb'("holder":")[^":]*:\d+"')


class PrivateError(Exception):
    """A history tells what it should not."""


def names() -> list[str]:
    """Return the histories of which it is known what they are made into."""
    return sorted(path.name.removesuffix(".json") for path in HOME.glob("*.json"))


def plain(name: str) -> bytes:
    """Return a history as lines of JSON."""
    return gzip.decompress((HOME / f"{name}{SUFFIX}").read_bytes())


@lru_cache(maxsize=1)
def read(name: str) -> tuple[Recorded, ...]:
    """Return the events of a history."""
    return tuple(wire.decode_run(wire.encode_run(plain(name).splitlines())))


def write(name: str, lines: Iterable[bytes]) -> None:
    """Keep an export as a history; raises PrivateError when it tells what it should not."""
    text = b"".join(_HOLDER.sub(rb'\1host-1:1"', line) + b"\n" for line in lines)
    if found := private(text):
        raise PrivateError(f"{name}: {'; '.join(found)}")
    packed = gzip.compress(text, 9, mtime=0)
    if len(packed) > MAX_BYTES:
        raise PrivateError(f"{name} has {len(packed)} bytes, and {MAX_BYTES} is the most")
    HOME.mkdir(exist_ok=True)
    (HOME / f"{name}{SUFFIX}").write_bytes(packed)


def private(text: bytes) -> list[str]:
    """Return what a log tells that it should not."""
    found = [
        f"{what}: {match.group().decode()}"
        for what, pattern in _PRIVATE.items()
        if (match := pattern.search(text))
    ]
    positions = [orjson.loads(line)["position"] for line in text.splitlines()]
    if positions != list(range(1, len(positions) + 1)):
        found.append("its positions are not dense from 1")
    return found
