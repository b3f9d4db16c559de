"""Turns an old payload into today's, a version at a time, so that readers know one class only."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

Payload = Mapping[str, Any]
Upcaster = Callable[[Payload], Payload]

# (type, schema version) → what makes the payload of the next version of it.
# Empty while every event is at its first version; an entry is never removed.
UPCASTERS: dict[tuple[str, int], Upcaster] = {}


def upcast(
    type_: str,
    schema_version: int,
    data: Payload,
    upcasters: Mapping[tuple[str, int], Upcaster] = UPCASTERS,
) -> tuple[int, Payload]:
    """Return the newest version reachable from this one, and the payload in it.

    data is never changed; what has no upcaster comes back as it is.
    """
    while (step := upcasters.get((type_, schema_version))) is not None:
        schema_version, data = schema_version + 1, step(data)
    return schema_version, data
