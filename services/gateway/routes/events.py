"""/events: the log as it grows, as Server-Sent Events; the same in pages of JSON."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Header, Query, Request, Response

from contracts.catalogue import CATALOGUE
from contracts.roles import Permission
from services.chassis.errors import Refused
from services.gateway.decide.wanted import Wanted, is_pattern, matching
from services.gateway.routes.access import READ
from services.gateway.routes.doors import Doors, DoorsHere, Position
from services.gateway.routes.reading import forward_chosen, may_read_logs
from services.gateway.routes.streams import EVENTS, EventStream, LiveHere, opened, still_allowed

router = APIRouter(tags=["events"])

TYPES = frozenset(type_ for type_, _ in CATALOGUE)
PATTERNS_AT_MOST, STARS_AT_MOST, LONGEST = 50, 5, 2000
OURS = frozenset({"type", "types", "stream"})

Patterns = Annotated[
    list[Annotated[str, Query(max_length=LONGEST)]],
    Query(
        max_length=PATTERNS_AT_MOST,
        description="Names or patterns (`node.*`), several with commas between or repeated.",
    ),
]
After = Annotated[
    Position | None, Query(description="Go on behind this position; without: from now on.")
]


async def _wanted(
    request: Request,
    type: Patterns = [],  # noqa: A002, B006 (what it is called in the query; FastAPI copies it)
    types: Patterns = [],  # noqa: B006
    stream: Patterns = [],  # noqa: B006
) -> Wanted:
    chosen = _types(type, "type") | _types(types, "types")
    streams = tuple(sorted(_listed(stream, "stream")))
    return Wanted(chosen or None, streams, may_read_logs(request))


@router.get(
    "/events",
    dependencies=[READ],
    responses={200: {"content": {EVENTS: {"schema": {"type": "string"}}}}},
)
async def events(
    request: Request,
    doors: DoorsHere,
    live: LiveHere,
    wanted: Annotated[Wanted, Depends(_wanted)],
    after: After = None,
    last_event_id: Annotated[
        Position | None, Header(description="The position of the last event you have seen.")
    ] = None,
) -> Response:
    """Return the log as it grows to whoever accepts `text/event-stream`, else a page of it.

    Every event's `id` is its position, so that a client that comes back goes on exactly where it
    was. A comment every so often says that the connection is alive, and how far it has come.
    """
    if not wants_stream(request):
        return await _page(request, doors, wanted)
    begin = last_event_id if last_event_id is not None else after
    if begin is None:
        await live.feed.started()
        begin = live.feed.position
    await live.feed.reach(begin)
    place = opened(request, live.streams)
    chunks = live.feed.read(wanted, begin)
    # Who may no longer read logs comes again, and is told the rest without them.
    allowed = still_allowed(request, Permission.OPERATE if wanted.logs else Permission.READ)
    return EventStream(chunks, begin, place, live.streams, allowed)


def wants_stream(request: Request) -> bool:
    """Return whether events are asked for as they come; without a word: a page."""
    return EVENTS in request.headers.get("accept", "").lower()


async def _page(request: Request, doors: Doors, wanted: Wanted) -> Response:
    for each in wanted.streams:
        if is_pattern(each) or each.endswith("/") or len(wanted.streams) > 1:
            raise Refused(
                f"a page is of one whole stream; patterns are for {EVENTS}", field="stream"
            )
    chosen = [("types", each) for each in sorted(wanted.types or ())]
    chosen += [("stream", each) for each in wanted.streams]
    return await forward_chosen(request, doors, "/events", chosen, instead_of=OURS)


def _types(patterns: list[str], field: str) -> frozenset[str]:
    found: set[str] = set()
    for pattern in _listed(patterns, field):
        matched = matching(pattern, TYPES)
        if not matched:
            raise Refused(f"no event type is {pattern[:100]}", field=field)
        found |= matched
    return frozenset(found)


def _listed(said: list[str], field: str) -> frozenset[str]:
    names = frozenset(name.strip() for each in said for name in each.split(",")) - {""}
    if len(names) > PATTERNS_AT_MOST:
        raise Refused(f"at most {PATTERNS_AT_MOST} of these", field=field)
    if any(name.count("*") > STARS_AT_MOST for name in names):
        raise Refused(f"at most {STARS_AT_MOST} stars in a pattern", field=field)
    return names
