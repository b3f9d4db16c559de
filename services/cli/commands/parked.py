"""`quartermaster parked`: messages the journal could not record: seen, tried again, thrown away."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from services.cli.commands.showing import Output, Plain, Yes, as_text, confirm, show_rows
from services.cli.decide.words import cell, lines

if TYPE_CHECKING:
    from collections.abc import Callable

Parked = Annotated[str, typer.Argument(metavar="ID", help="As `parked list` has it.")]
HEAD = ("ID", "PARKED", "PROPOSER", "REASON", "TYPES", "DETAIL")


def commands(gateway: Callable[[], Any]) -> typer.Typer:
    """Return the commands."""
    app = typer.Typer(
        no_args_is_help=True,
        help="Messages the journal could not record: seen, tried again, thrown away.",
    )
    _add_looking(app, gateway)
    _add_settling(app, gateway)
    return app


def _add_looking(app: typer.Typer, gateway: Callable[[], Any]) -> None:
    @app.command(name="list")
    def list_(*, output: Output = "table") -> None:
        """List what is parked, the oldest first, with its reasons."""
        found = gateway().get("/parked")["items"]
        if output in ("json", "yaml"):
            typer.echo(as_text({"items": found}, output))
        elif output == "name":
            typer.echo("\n".join(each["id"] for each in found))
        elif found:
            show_rows(HEAD, [_row(each) for each in found])
        else:
            typer.echo("nothing is parked", err=True)

    @app.command()
    def show(id_: Parked, *, output: Plain = "text") -> None:
        """Show one with all that it says."""
        found = gateway().get(f"/parked/{id_}")
        if output != "text":
            typer.echo(as_text(found, output))
            return
        said = found.pop("proposals"), found.pop("text")
        typer.echo("\n".join(lines(found)))
        typer.echo(f"\n{as_text(said[0], 'yaml') if said[0] is not None else said[1]}")


def _add_settling(app: typer.Typer, gateway: Callable[[], Any]) -> None:
    @app.command()
    def retry(
        ids: Annotated[list[str], typer.Argument(metavar="ID...")], *, yes: Yes = False
    ) -> None:
        """Have messages judged again, as those who sent them; what is refused again stays parked.

        Exit with 1 when one is.
        """
        confirm(f"Record {_many(ids)} now, under its sender's name?", yes=yes)
        for id_ in ids:
            came = gateway().post(f"/parked/{id_}/retry")
            places = [each for one in came["results"] for each in one.get("positions", ())]
            typer.echo(f"{id_} is recorded at {cell(places)}")

    @app.command()
    def drop(
        ids: Annotated[list[str], typer.Argument(metavar="ID...")],
        *,
        because: Annotated[str, typer.Option(help="The reason; it stands in the log for ever.")],
        yes: Yes = False,
    ) -> None:
        """Throw messages away for good; who did it and why is recorded."""
        confirm(f"Throw {_many(ids)} away for good?", yes=yes)
        for id_ in ids:
            came = gateway().post(f"/parked/{id_}/drop", {"because": because})
            typer.echo(f"{id_} of {came['proposer'] or 'nobody'} ({came['reason']}) is dropped")


def _many(ids: list[str]) -> str:
    return f"{len(ids)} messages" if len(ids) > 1 else ids[0]


def _row(each: dict[str, Any]) -> list[str]:
    names = ("id", "parked_at", "proposer", "reason", "types", "detail")
    return [cell(each[name]) for name in names]
