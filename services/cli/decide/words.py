"""How one value reads in a cell or a line."""

from __future__ import annotations

import re
from typing import Any

NOTHING = "-"
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_MOMENT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d")


def moment(at: str) -> str:
    """Return a time as people read it: to the second, in UTC."""
    return at[:19].replace("T", " ")


def cell(found: Any) -> str:
    """Return a value in few characters."""
    if found is None or found in ("", [], {}):
        return NOTHING
    if isinstance(found, bool):
        return "yes" if found else "no"
    if isinstance(found, float):
        return f"{found:.4g}"
    if isinstance(found, list):
        return ",".join(cell(each) for each in found)
    if isinstance(found, dict):
        return ",".join(f"{name}={cell(each)}" for name, each in found.items())
    text = str(found)
    return moment(text) if _MOMENT.match(text) else " ".join(seemly(text).split())


def seemly(text: str) -> str:
    """Return a text without what would steer a terminal: it may be anybody's."""
    return _CONTROL.sub(" ", text)


def lines(found: Any, depth: int = 0) -> list[str]:
    """Return a thing as lines of `name: value`, what is inside set in."""
    width = max((len(name) for name in found), default=0) + 1
    told: list[str] = []
    for name, each in found.items():
        here = f"{'  ' * depth}{name}:"
        if isinstance(each, dict) and each:
            told += [here, *lines(each, depth + 1)]
        elif isinstance(each, list) and each and all(isinstance(one, dict) for one in each):
            told += [here, *(f"{'  ' * (depth + 1)}- {cell(one)}" for one in each)]
        elif isinstance(each, str) and "\n" in each.strip():
            told += [here, *(f"{'  ' * (depth + 1)}{seemly(line)}" for line in each.splitlines())]
        else:
            told.append(f"{here:<{width + 2 * depth}} {cell(each)}")
    return told
