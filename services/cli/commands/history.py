"""`quartermaster history`: what happened to one thing, as near as one wants to look."""

from __future__ import annotations

from typing import Annotated, Any
from urllib.parse import quote, urlencode

import orjson
import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from contracts.http.history import Kind, Zoom
from services.cli.commands.following import As_JSON
from services.cli.commands.showing import Plain, is_told

Near = Annotated[
    Zoom, typer.Option("--zoom", help="Stories, one line an event, or events as recorded.")
]
Since = Annotated[str | None, typer.Option(help="From this position or time on.")]
Until = Annotated[str | None, typer.Option(help="Up to this position or time.")]
Types = Annotated[str | None, typer.Option(help="Only these types of events, with commas.")]
AsOf = Annotated[str | None, typer.Option(help="As it was known at this position or time.")]
Limit = Annotated[int, typer.Option(min=1, max=200, help="How many, the newest ones.")]
Cursor = Annotated[str | None, typer.Option(help="Go on before an earlier page.")]


def add_to(app: typer.Typer, gateway: Any) -> None:
    """Add the command to the application."""

    @app.command()
    def history(  # noqa: PLR0913 (one for each option)
        kind: Kind,
        id_: Annotated[str, typer.Argument(metavar="ID")],
        *,
        zoom: Near = "groups",
        since: Since = None,
        until: Until = None,
        types: Types = None,
        as_of: AsOf = None,
        limit: Limit = 50,
        cursor: Cursor = None,
        output: Plain = "text",
        as_json: As_JSON = False,
    ) -> None:
        """Show what happened to a model, a node, a GPU, an instance, ...: newest last."""
        wanted = {
            "zoom": zoom,
            "since": since,
            "until": until,
            "types": types,
            "as_of": as_of,
            "limit": limit,
            "cursor": cursor,
        }
        page = gateway().get(asking(f"/history/{kind}/{quote(id_, safe='/:@')}", wanted))
        if is_told(page, output, as_json=as_json):
            return
        _show(page)
        if page["next_cursor"]:
            typer.echo(f"there is more before: add --cursor {page['next_cursor']}", err=True)


def asking(path: str, wanted: dict[str, Any]) -> str:
    """Return a path with the parameters that were given."""
    given = {name: value for name, value in wanted.items() if value is not None}
    return f"{path}?{urlencode(given)}" if given else path


def moment(at: str) -> str:
    """Return a time as people read it: to the second, in UTC."""
    return at[:19].replace("T", " ")


def reasoned(item: dict[str, Any]) -> str:
    """Return what happened, and why where that is known; of a run, why it was begun."""
    what, why = str(item["what"]), item.get("why")
    if not why:
        return what
    return f"{what} (begun: {why})" if item.get("code") == "run" else f"{what}: {why}"


def _linked(item: dict[str, Any]) -> str:
    """Return what happened and why, and the positions it came of and led to: `blame` knows more."""
    cause, effects = item.get("caused_by"), [str(each["position"]) for each in item["led_to"]]
    parts = [f"of {cause['position']}"] if cause else []
    if effects:
        more = " ..." if item.get("led_to_more") else ""
        parts.append(f"led to {' '.join(effects)}{more}")
    links = ", ".join(parts)
    return f"{reasoned(item)} [{links}]" if links else reasoned(item)


def _show(page: dict[str, Any]) -> None:
    rows = [_row(item, page["zoom"]) for item in reversed(page["items"])]
    console = Console()
    if not console.is_terminal:
        for row in rows:
            typer.echo("  ".join(row))
        return
    table = Table("when (UTC)", "position", "who", "what", box=None)
    for row in rows:
        table.add_row(*(Text(cell) for cell in row))  # what is in brackets is no markup
    console.print(table)


def _row(item: dict[str, Any], zoom: str) -> tuple[str, str, str, str]:
    if zoom == "groups":
        first, last = item["first"]["position"], item["last"]["position"]
        places = str(first) if first == last else f"{first}-{last}"
        return moment(item["began_at"]), places, item["who"], _linked(item)
    if zoom == "timeline":
        return moment(item["at"]), str(item["position"]), item["who"], _linked(item)
    told = f"{item['stream']} {item['type']} {orjson.dumps(item['data']).decode()}"
    return moment(item["recorded_at"]), str(item["position"]), item["meta"]["actor"], told
