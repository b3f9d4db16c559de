"""`quartermaster logs`: what a worker writes, and what it goes on to write."""

import sys
from collections.abc import Callable
from typing import Annotated, Any
from urllib.parse import quote

import typer

from services.cli.commands.finding import completing


def add_to(app: typer.Typer, gateway: Callable[[], Any]) -> None:
    """Add the command to the application."""
    complete = completing(gateway)

    def instances(context: typer.Context, incomplete: str) -> list[str]:
        context.params["kind"] = "instance"
        return complete(context, incomplete)

    @app.command()
    def logs(
        instance: Annotated[str, typer.Argument(metavar="INSTANCE", autocompletion=instances)],
        *,
        follow: Annotated[
            bool, typer.Option("--follow", "-f", help="Go on until the worker ends.")
        ] = False,
        tail: Annotated[
            int, typer.Option("--tail", "-n", min=0, max=10_000, help="The last lines.")
        ] = 100,
    ) -> None:
        """Show what a worker writes. Of one whose node is gone: what it wrote last."""
        parameters = [("tail", tail), ("follow", follow)]
        path = f"/instances/{quote(instance)}/logs"
        with gateway().stream(path, parameters, {}) as answer:
            for chunk in answer.iter_bytes():
                sys.stdout.buffer.write(chunk)
                sys.stdout.buffer.flush()
