"""`quartermaster log`: the event log itself."""

from __future__ import annotations

from typing import Annotated, Any

import orjson
import typer
from rich.console import Console

UNSOUND = 1
As_JSON = Annotated[bool, typer.Option("--json", help="Print the report as JSON.")]


def commands(gateway: Any) -> typer.Typer:
    """Return the commands; `gateway()` gives what answers them."""
    app = typer.Typer(no_args_is_help=True, help="The event log itself.")

    @app.callback()
    def subject() -> None:
        """Keep `verify` a command of its own, also while it is the only one."""

    @app.command()
    def verify(as_json: As_JSON = False) -> None:  # noqa: FBT002 (typer makes it an option)
        """Walk the whole log; exit with 1 and the first bad position when it is not sound."""
        with Console(stderr=True).status("walking the log"):
            report = gateway().post("/log/verify")
        if as_json:
            typer.echo(orjson.dumps(report).decode())
        elif report["ok"]:
            typer.echo(f"sound: {report['checked']} events, positions 1 to {report['head']}")
        else:
            typer.echo(f"NOT SOUND at position {report['position']}: {report['problem']}")
        if not report["ok"]:
            raise typer.Exit(UNSOUND)

    return app
