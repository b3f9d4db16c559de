"""Named SQL: every statement of a service stands in a .sql file, with a name and a description."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from services.chassis.errors import Bug

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_BLOCK = re.compile(r"^-- name: *(?P<name>\S+) *\n-- +(?P<about>\S.*)\n", re.MULTILINE)
_MARK = re.compile(r"^-- name:", re.MULTILINE)


class Queries:
    """The statements of one file, by name.

    A block begins with `-- name: some_name` and a line `-- what it is for`; it ends at the next.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._statements = _parse(path)

    def __getitem__(self, name: str) -> str:
        """Return the statement of this name; raises Bug when the file has none."""
        try:
            return self._statements[name]
        except KeyError:
            message = f"{self._path.name} has no statement {name!r}"
            raise Bug(message) from None

    def __iter__(self) -> Iterator[str]:
        return iter(self._statements)


def _parse(path: Path) -> dict[str, str]:
    text = path.read_text()
    heads = list(_BLOCK.finditer(text))
    if len(heads) != len(_MARK.findall(text)):
        message = f"{path.name}: a statement has no description line"
        raise Bug(message)
    ends = [head.start() for head in heads[1:]] + [len(text)]
    found: dict[str, str] = {}
    for head, end in zip(heads, ends, strict=True):
        if head["name"] in found:
            message = f"{path.name}: {head['name']!r} is there twice"
            raise Bug(message)
        found[head["name"]] = text[head.end() : end].strip().removesuffix(";")
    return found
