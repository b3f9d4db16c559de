"""Which events somebody wants: types and streams, by name or by pattern."""

from __future__ import annotations

import re
from dataclasses import dataclass
from fnmatch import fnmatchcase, translate
from functools import lru_cache
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterable

_SIGNS = frozenset("*?[")


class Told(Protocol):
    """An event, as far as it is chosen by."""

    @property
    def type(self) -> str:
        """Its type."""

    @property
    def stream(self) -> str:
        """Its stream."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """A choice of events; types None: all; streams, names or patterns; empty: all.

    logs: with what workers wrote in them.
    """

    types: frozenset[str] | None = None
    streams: tuple[str, ...] = ()
    logs: bool = False

    def takes(self, event: Told) -> bool:
        """Return whether an event is wanted."""
        if self.types is not None and event.type not in self.types:
            return False
        return not self.streams or _matcher(self.streams).fullmatch(event.stream) is not None


def is_pattern(text: str) -> bool:
    """Return whether this stands for several names: `*` any letters, `?` one, `[...]` one of."""
    return not _SIGNS.isdisjoint(text)


def matching(pattern: str, known: Iterable[str]) -> frozenset[str]:
    """Return the known types that a pattern stands for: `node.*`, `instance.start_*`."""
    return frozenset(type_ for type_ in known if fnmatchcase(type_, pattern))


def of_family(stream: str) -> str:
    """Return a stream's pattern; a family such as `node/` stands for all streams in it."""
    return f"{stream}*" if stream.endswith("/") else stream


@lru_cache(maxsize=1024)
def _matcher(streams: tuple[str, ...]) -> re.Pattern[str]:
    return re.compile("|".join(translate(of_family(each)) for each in streams))
