"""The arguments of the demo: `key=value`, checked, with an error that names the bad one."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from deploy.demo.errors import DemoError

GENERATED = "generated"
TRACE = "../shared/data/genai_lora"
MAX_SPEED = 1000.0  # what the agent's template for these workers allows


@dataclass(frozen=True)
class Arguments:
    """What one run of the demo shall do.

    requests: how many are published, 0 for no end. speed: trace seconds per second.
    report: where the JSON report goes, None for the demo's own state directory.
    trace: the folder of the real requests, or `generated`. seed: of the generated ones.
    keep: go on with the state of the last run instead of an empty one. picture: an SVG of the
    live table in the middle of the run goes there.
    """

    requests: int = 400
    speed: float = 60.0
    report: Path | None = None
    trace: str = TRACE
    seed: int = 7
    keep: bool = False
    picture: Path | None = None


def parse(words: Sequence[str]) -> Arguments:
    """Return the arguments given as `key=value`; raises DemoError naming the bad one."""
    given: dict[str, Any] = {}
    for word in words:
        key, equals, value = word.partition("=")
        if not equals:
            raise DemoError(f"{word!r} is not key=value; known keys: {_known()}")
        if key not in _READERS:
            raise DemoError(f"there is no argument {key!r}; known keys: {_known()}")
        if key in given:
            raise DemoError(f"{key} is given twice")
        given[key] = _read(key, value)
    return Arguments(**given)


def _read(key: str, value: str) -> Any:
    reader, form = _READERS[key]
    try:
        return reader(value)
    except ValueError:
        raise DemoError(f"{key}={value} is not {form}") from None


def _count(value: str) -> int:
    number = int(value)
    if number < 0:
        raise ValueError(value)
    return number


def _speed(value: str) -> float:
    number = float(value)
    if not (math.isfinite(number) and 0 < number <= MAX_SPEED):
        raise ValueError(value)
    return number


def _flag(value: str) -> bool:
    return {"0": False, "1": True}[value] if value in {"0", "1"} else _bad(value)


def _text(value: str) -> str:
    return value or _bad(value)


def _path(value: str) -> Path:
    return Path(_text(value)).expanduser().resolve()


def _bad(value: str) -> Any:
    raise ValueError(value)


_READERS: dict[str, tuple[Callable[[str], Any], str]] = {
    "requests": (_count, "a whole number, 0 or more (0: until Ctrl-C)"),
    "speed": (_speed, f"a number above 0, at most {MAX_SPEED:.0f}"),
    "report": (_path, "the path of a file"),
    "trace": (_text, f"the path of a folder or the word {GENERATED}"),
    "seed": (int, "a whole number"),
    "keep": (_flag, "0 or 1"),
    "picture": (_path, "the path of a file"),
}


def _known() -> str:
    return ", ".join(field.name for field in fields(Arguments))
