"""`quartermaster events`: what is recorded, the newest, a part, or as it comes."""

from __future__ import annotations

import sys
from time import sleep
from typing import TYPE_CHECKING, Annotated, Any, Literal

import orjson
import typer

from services.chassis.clock import SystemClock
from services.chassis.errors import Refused, Unavailable
from services.cli.commands.following import PATIENCE_S
from services.cli.commands.history import moment
from services.cli.commands.showing import AsOf

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    Parameters = list[tuple[str, str | int]]

SILENCE_S = 60.0  # the gateway breaks the silence every 15 s
AGAIN_S = 1.0
PAGE = 200
WIDER = 8
LONGEST = 160
Types = Annotated[
    list[str] | None, typer.Option("--type", "-t", help="Only these, such as 'node.*'; repeatable.")
]
Lines = Annotated[
    Literal["text", "json"], typer.Option("--output", "-o", help="json: a line of JSON an event.")
]


def add_to(app: typer.Typer, gateway: Callable[[], Any]) -> None:
    """Add the command to the application."""

    @app.command()
    def events(
        *,
        follow: Annotated[
            bool, typer.Option("--follow", "-f", help="As they come, until Ctrl-C.")
        ] = False,
        types: Types = None,
        stream: Annotated[
            str | None, typer.Option(help="Only of this stream, such as node/gpu-01.")
        ] = None,
        after: Annotated[
            int | None, typer.Option(min=0, help="Behind this position, the oldest first.")
        ] = None,
        limit: Annotated[
            int | None, typer.Option("--limit", "-n", min=1, help="How many; 50 without -f.")
        ] = None,
        output: Lines = "text",
        as_of: AsOf = None,
    ) -> None:
        """Show what is recorded; without --after the newest.

        With -f a lost connection is made again and goes on at the very next event.
        """
        chosen: Parameters = [("type", each) for each in types or ()]
        chosen += [("stream", stream)] if stream else []
        if follow:
            if as_of:
                raise Refused("what comes has no past: leave --as-of out")
            _tell(_followed(gateway(), chosen, after), output, limit)
            return
        chosen += [("as_of", as_of)] if as_of else []
        count = limit or 50
        ask = gateway()
        found = _newest(ask, chosen, count) if after is None else _pages(ask, chosen, after, count)
        _tell(found, output, count)


def _tell(found: Iterable[dict[str, Any]], output: str, limit: int | None) -> None:
    for number, event in enumerate(found, 1):
        line = orjson.dumps(event).decode() if output == "json" else _line(event)
        sys.stdout.write(f"{line}\n")
        sys.stdout.flush()
        if number == limit:
            return


def _line(event: dict[str, Any]) -> str:
    data = orjson.dumps(event["data"]).decode()
    said = data if len(data) <= LONGEST else f"{data[: LONGEST - 3]}..."
    at, actor = moment(event["recorded_at"]), (event.get("meta") or {}).get("actor", "")
    return f"{event['position']}  {at}  {actor}  {event['stream']}  {event['type']}  {said}"


def _pages(ask: Any, chosen: Parameters, after: int, count: int) -> Iterator[dict[str, Any]]:
    """Yield events behind a position, page by page."""
    more: Parameters = [("after", after), ("limit", min(count, PAGE))]
    while True:
        page = ask.get("/events", [*chosen, *more])
        yield from page["items"]
        if page["next_cursor"] is None:
            return
        more = [("cursor", page["next_cursor"]), ("limit", PAGE)]


def _newest(ask: Any, chosen: Parameters, count: int) -> list[dict[str, Any]]:
    """Return the last events: ever more of the log is looked through until there are enough."""
    then = [(name, value) for name, value in chosen if name == "as_of"]
    head, span = int(ask.get("/status", then)["head"]), count
    while True:
        begin = max(0, head - span)
        found = list(_pages(ask, chosen, begin, PAGE))
        if len(found) >= count or begin == 0:
            return found[-count:]
        span *= WIDER


def _followed(ask: Any, chosen: Parameters, after: int | None) -> Iterator[dict[str, Any]]:
    """Yield events as they come; whoever goes away comes back where it was."""
    clock, seen = SystemClock(), after
    heard_at = clock.monotonic()
    while True:
        headers = {"accept": "text/event-stream"}
        if seen is not None:
            headers["last-event-id"] = str(seen)
        try:
            with ask.stream("/events", chosen, headers, silence_s=SILENCE_S) as answer:
                for position, data in _told(answer.iter_lines()):
                    heard_at, seen = clock.monotonic(), position
                    if data:
                        yield orjson.loads(data)
        except Unavailable as error:
            if clock.monotonic() - heard_at > PATIENCE_S:
                raise
            sys.stderr.write(f"coming again: {error.detail}\n")
        sleep(AGAIN_S)


def _told(lines: Iterable[str]) -> Iterator[tuple[int | None, str]]:
    """Yield each message of a stream: the last position it speaks of, and its data if any."""
    position, data = None, ""
    for line in lines:
        name, _, said = line.partition(":")
        if not line:
            yield position, data
            data = ""
        elif name == "id":
            position = int(said)
        elif name == "data":
            data += said.removeprefix(" ")
