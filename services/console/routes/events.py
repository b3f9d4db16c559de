"""The log itself: its newest events, and those that come while one looks."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from fastapi import APIRouter, Response

from contracts.catalogue import CATALOGUE, TELEMETRY_TYPES
from services.console.decide.histories import event_rows
from services.console.routes.early import Early
from services.console.routes.pages import names
from services.console.routes.visiting import Visit, VisitHere, good

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

router = APIRouter(route_class=Early)
WANTED, A_PAGE, AT_MOST_READS, GROWTH = 100, 200, 12, 4
FAMILIES = (
    "instance", "gpu", "model", "node", "queue", "strategy", "alert", "environment", "fleet",
    "process", "silence", "alert_rule", "webhook", "account", "key", "lease",
)  # fmt: skip
# What comes every few seconds from every node and queue hides everything else.
TELEMETRY = TELEMETRY_TYPES


@router.get("/events")
async def events(visit: VisitHere, family: str = "", before: str = "") -> Response:
    """Show the newest events, without telemetry unless it is asked for."""
    bar, known = await asyncio.gather(visit.bar(), known_names(visit))
    chosen = family if family in FAMILIES else ""
    is_earlier = before.isdecimal() and len(before) < 16  # noqa: PLR2004
    end = int(before) if is_earlier else bar.position + 1
    with_telemetry = visit.request.query_params.get("telemetry") == "on"
    found = await newest(visit, chosen, end, with_telemetry=with_telemetry)
    return await visit.page(
        "events.html",
        bar,
        title="Events",
        rows=event_rows(reversed(found), known, bar.at),
        families=FAMILIES,
        family=chosen,
        with_telemetry=with_telemetry,
        goes_on=not (is_earlier or bar.is_past),
        earlier=found[0]["position"] if found and found[0]["position"] > 1 else None,
    )


async def known_names(visit: Visit) -> dict[str, str]:
    """Return the names of whatever events are about, by id."""
    lists = await asyncio.gather(
        *(visit.all(path) for path in ("/models", "/nodes", "/environments"))
    )
    return {id_: name for found in lists for id_, name in names(found).items()}


async def newest(
    visit: Visit, family: str, end: int, *, with_telemetry: bool
) -> list[dict[str, Any]]:
    """Return the newest events before a position, oldest first.

    The log is read forward; so a window before the end is read, and one before that, until there
    is enough. A family of facts is looked for by its types alone, in windows that grow: one that
    is rare is found however long ago it was.
    """
    found: list[dict[str, Any]] = []
    types = None if with_telemetry else _types(family)
    width = A_PAGE
    for _ in range(AT_MOST_READS):
        begin = max(0, end - 1 - width)
        page = [each async for each in _window(visit, begin, end, types)]
        found = [each for each in page if _wanted(each, family, with_telemetry)] + found
        end = begin + 1
        if len(found) >= WANTED or end <= 1:
            break
        width *= GROWTH if types else 1
    return found[-WANTED:]


async def _window(
    visit: Visit, begin: int, end: int, types: str | None
) -> AsyncIterator[dict[str, Any]]:
    """Yield the events after one position and before another."""
    while begin < end - 1:
        answer = good(await visit.ask("/events", after=begin, limit=A_PAGE, types=types))
        page = [each for each in answer.data["items"] if int(each["position"]) < end]
        for each in page:
            yield each
        if len(page) < A_PAGE:
            return
        begin = int(page[-1]["position"])


def _types(family: str) -> str | None:
    """Return the types of a family's facts, None where all of them are looked through."""
    facts = {type_ for type_, _ in CATALOGUE if type_.startswith(f"{family}.")} - TELEMETRY
    return ",".join(sorted(facts)) or None


def _wanted(event: dict[str, Any], family: str, with_telemetry: bool) -> bool:
    type_ = str(event["type"])
    if family and not type_.startswith(f"{family}."):
        return False
    return with_telemetry or type_ not in TELEMETRY
