"""`quartermaster status`: how far the log and its read models are, and what runs where."""

from __future__ import annotations

from typing import Any

import orjson
import typer
from rich.console import Console
from rich.table import Table

from services.cli.commands.log import As_JSON


def add_to(app: typer.Typer, gateway: Any) -> None:
    """Add the command to the application."""

    @app.command()
    def status(as_json: As_JSON = False) -> None:  # noqa: FBT002 (typer makes it an option)
        """Show every node, its GPUs, and what runs on them."""
        nodes = gateway().get("/deployments/status")
        if as_json:
            typer.echo(orjson.dumps(nodes).decode())
            return
        Console().print(_table(nodes["items"]))


def _table(nodes: list[dict[str, Any]]) -> Table:
    table = Table("node", "status", "gpu", "state", "model", "instance")
    for node in nodes:
        for gpu in node["gpus"] or [{}]:
            instance = gpu.get("instance") or {}
            table.add_row(
                node["name"],
                node["status"],
                str(gpu.get("index", "")),
                gpu.get("state", ""),
                instance.get("model_name", ""),
                instance.get("instance_id", ""),
            )
    return table
