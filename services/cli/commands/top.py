"""`quartermaster top`: the fleet at work, drawn again every two seconds."""

from __future__ import annotations

from collections import Counter
from time import sleep
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

from services.chassis.errors import Unavailable
from services.cli.commands.showing import LOOK_S, AsOf, Plain, as_text, table
from services.cli.commands.status import told, whole
from services.cli.decide.words import cell

if TYPE_CHECKING:
    from collections.abc import Callable

    from rich.console import RenderableType

GPUS = ("NODE", "GPU", "STATE", "USED %", "MEMORY MB", "MODEL", "INSTANCE")
QUEUES = ("QUEUE OF", "LENGTH", "MEAN OF 5 MIN", "CONSUMERS", "REACHABLE")
BAR = 10
ALERTS, HEADS = 3, 7


def add_to(app: typer.Typer, gateway: Callable[[], Any]) -> None:
    """Add the command to the application."""

    @app.command()
    def top(
        *,
        once: Annotated[bool, typer.Option("--once", help="One look, as off a terminal.")] = False,
        output: Plain = "text",
        as_of: AsOf = None,
    ) -> None:
        """Show every GPU with what it does, and every queue, live until Ctrl-C."""
        ask, console = gateway(), Console()
        found = _look(ask, as_of)
        if output != "text":
            typer.echo(as_text(found, output))
            return
        if once or as_of or not console.is_terminal:
            _print_lines(found)
            return
        with Live(_drawn(found, console.height), console=console, screen=True) as live:
            while True:
                sleep(LOOK_S)
                try:
                    shown = _drawn(_look(ask, None), console.height)
                except Unavailable as error:
                    shown = Group(Text(f"{error.detail}; trying again", style="red"))
                live.update(shown)


def _look(ask: Any, as_of: str | None) -> dict[str, Any]:
    wanted = {"as_of": as_of}
    nodes = whole(ask, "/deployments/status", wanted)
    found = {"nodes": nodes["items"]}
    found["queues"] = whole(ask, "/queues", wanted)["items"]
    found["alerts"] = whole(ask, "/alerts", {**wanted, "open": "true"})["items"]
    return found | ({"as_of": nodes["as_of"]} if nodes.get("as_of") else {})


def _summary(found: dict[str, Any]) -> str:
    """Return the fleet in one line."""
    nodes = found["nodes"]
    states = Counter(gpu["state"] for node in nodes for gpu in node["gpus"])
    online = sum(node["status"] == "online" for node in nodes)
    waiting = sum(queue["length"] or 0 for queue in found["queues"])
    gpus = ", ".join(f"{count} {state}" for state, count in sorted(states.items())) or "none"
    alerts = f"; {len(found['alerts'])} alerts" if found["alerts"] else ""
    return f"{online} of {len(nodes)} nodes online; GPUs: {gpus}; {waiting} messages wait{alerts}"


def _gpu_rows(found: dict[str, Any], *, bars: bool) -> list[list[str]]:
    return [
        [
            node["name"],
            cell(gpu.get("index")),
            cell(gpu.get("state")),
            _used(gpu.get("utilization_percent"), bars=bars),
            f"{cell(gpu.get('memory_used_mb'))}/{cell(gpu.get('memory_mb'))}",
            cell((gpu.get("instance") or {}).get("model_name")),
            cell((gpu.get("instance") or {}).get("instance_id")),
        ]
        for node in found["nodes"]
        for gpu in node["gpus"]
    ]


def _queue_rows(found: dict[str, Any]) -> list[list[str]]:
    longest_first = sorted(found["queues"], key=lambda queue: -(queue["length"] or 0))
    names = ("model_name", "length", "mean_length_5m", "consumers", "reachable")
    return [[cell(queue.get(name)) for name in names] for queue in longest_first]


def _used(percent: float | None, *, bars: bool) -> str:
    if percent is None or not bars:
        return cell(percent)
    full = round(percent / 100 * BAR)
    return f"{'|' * full}{'.' * (BAR - full)} {percent:3.0f}"


def _print_lines(found: dict[str, Any]) -> None:
    if found.get("as_of"):
        typer.echo(told(found["as_of"]), err=True)
    typer.echo(_summary(found))
    for head, rows in ((GPUS, _gpu_rows(found, bars=False)), (QUEUES, _queue_rows(found))):
        typer.echo("\n".join("\t".join(row) for row in (head, *rows)))


def _drawn(found: dict[str, Any], height: int) -> RenderableType:
    """Return what fits on a terminal; of many GPUs those that work come first."""
    gpus, queues = _gpu_rows(found, bars=True), _queue_rows(found)
    alerts = found["alerts"][:ALERTS]
    room = max(4, height - HEADS - len(alerts))
    lines = max(room // 2, room - len(queues))
    gpus.sort(key=lambda row: (row[2] != "allocated", row[0], row[1]))
    parts: list[RenderableType] = [Text(_summary(found), style="bold")]
    parts += [Text(f"alert: {each['summary']}", style="red") for each in alerts]
    parts += [Text(), table(GPUS, gpus[:lines]), Text()]
    if len(gpus) > lines:
        parts.insert(-1, Text(f"... and {len(gpus) - lines} more GPUs", style="dim"))
    return Group(*parts, table(QUEUES, queues[: room - min(lines, len(gpus))]))
