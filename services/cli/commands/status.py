"""`quartermaster status`: what runs where, now or at any moment before."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import typer

from services.cli.commands.following import As_JSON
from services.cli.commands.history import AsOf, asking, moment
from services.cli.commands.showing import Plain, Watch, is_told, show_rows, watching

if TYPE_CHECKING:
    from collections.abc import Callable

AT_ONCE = 200
HEAD = ("node", "status", "gpu", "state", "model", "instance")


def add_to(app: typer.Typer, gateway: Any) -> None:
    """Add the command to the application."""

    @app.command()
    def status(
        *,
        as_of: AsOf = None,
        output: Plain = "text",
        watch: Watch = False,
        as_json: As_JSON = False,
    ) -> None:
        """Show every node, its GPUs, and what runs on them."""

        def look() -> tuple[Any, Callable[[], None]]:
            found = whole(gateway(), "/deployments/status", {"as_of": as_of})
            return found["items"], partial(show, found)

        def show(found: dict[str, Any]) -> None:
            if is_told(found, output, as_json=as_json):
                return
            if found.get("as_of"):
                typer.echo(told(found["as_of"]), err=True)
            show_rows(HEAD, _rows(found["items"]))

        watching(look, watch=watch)


def whole(gateway: Any, path: str, wanted: dict[str, Any]) -> dict[str, Any]:
    """Return a list with the items of all its pages; those of the past are all of one position."""
    wanted = {**wanted, "limit": AT_ONCE}
    found = dict(gateway.get(asking(path, wanted)))
    while found["next_cursor"] is not None:
        page = gateway.get(asking(path, {**wanted, "cursor": found["next_cursor"]}))
        found |= {"items": found["items"] + page["items"], "next_cursor": page["next_cursor"]}
    return found


def told(as_of: dict[str, Any]) -> str:
    """Return in words which point of the past an answer is of."""
    dropped = "; what nodes and queues reported then is no longer kept"
    when = f"as of position {as_of['position']}, {moment(as_of['recorded_at'])} UTC"
    return when + (dropped if as_of["telemetry"] == "dropped" else "")


def _rows(nodes: list[dict[str, Any]]) -> list[list[str]]:
    rows = []
    for node in nodes:
        for gpu in node["gpus"] or [{}]:
            instance = gpu.get("instance") or {}
            of_gpu = [str(gpu.get("index", "")), gpu.get("state", "")]
            of_instance = [instance.get("model_name", ""), instance.get("instance_id", "")]
            rows.append([node["name"], node["status"], *of_gpu, *of_instance])
    return rows
