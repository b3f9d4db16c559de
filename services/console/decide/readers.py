"""What was typed into a field, read as the number or the JSON that it stands for."""

from __future__ import annotations

import json
import math
from typing import Any

_WHOLE_BELOW = 2**63  # what JSON and the log can hold
_DEEPEST = 20


def number(said: str) -> int:
    """Return a whole number; ValueError says what is wrong."""
    try:
        found = int(said)
    except ValueError:
        raise ValueError(f"{said[:40]} is no whole number") from None
    _check(found)
    return found


def numbers(said: str) -> list[int]:
    """Return whole numbers with commas between; ValueError says what is wrong."""
    return [number(each.strip()) for each in said.split(",") if each.strip()]


def decimal(said: str) -> float:
    """Return a number; ValueError says what is wrong."""
    try:
        found = float(said)
    except ValueError:
        found = math.nan
    if not math.isfinite(found):
        raise ValueError(f"{said[:40]} is no number")
    return found


def json_object(said: str) -> dict[str, Any]:
    """Return a JSON object; ValueError says what is wrong."""
    try:
        found = json.loads(said)
    except ValueError as error:
        raise ValueError(f"this is no JSON: {error}") from None
    except RecursionError:
        raise ValueError("this is nested too deeply") from None
    if not isinstance(found, dict):
        raise ValueError('an object is wanted, such as {"idle_s": 300}')  # noqa: TRY004
    _check(found)
    return found


def _check(value: Any, depth: int = 0) -> None:
    """Raise ValueError for what Python reads as JSON and others do not."""
    if depth > _DEEPEST:
        raise ValueError("this is nested too deeply")
    if isinstance(value, str) and not _is_text(value):
        raise ValueError("this has half of a character, such as \\ud800")
    if isinstance(value, int) and not -_WHOLE_BELOW <= value < _WHOLE_BELOW:
        raise ValueError("this number is too large")
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError("NaN and Infinity are no JSON")
    inner = [*value, *value.values()] if isinstance(value, dict) else value
    for each in inner if isinstance(inner, list) else ():
        _check(each, depth + 1)


def _is_text(value: str) -> bool:
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True
