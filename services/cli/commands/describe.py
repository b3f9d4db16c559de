"""`quartermaster describe`: one thing with all that is known of it, why it is so, what happened."""

from collections.abc import Callable
from typing import Annotated, Any
from urllib.parse import quote

import typer

from services.chassis.errors import QuartermasterError, Refused
from services.cli.commands.finding import AKind, completing, one_of
from services.cli.commands.history import asking, moment, reasoned
from services.cli.commands.showing import AsOf, Plain, as_text
from services.cli.decide.kinds import Kind
from services.cli.decide.words import lines

LATEST = 10


def add_to(app: typer.Typer, gateway: Callable[[], Any]) -> None:
    """Add the command to the application."""
    complete = completing(gateway)

    @app.command()
    def describe(
        kind: AKind,
        id_: Annotated[str, typer.Argument(metavar="ID|NAME", autocompletion=complete)],
        *,
        output: Plain = "text",
        as_of: AsOf = None,
    ) -> None:
        """Show one thing whole: its fields, why it is as it is, and what happened to it last."""
        if as_of and not kind.has_past:
            raise Refused(f"{kind.plural} are shown as they are now: leave --as-of out")
        ask = gateway()
        one = one_of(ask, kind, id_, as_of)
        if output != "text":
            typer.echo(as_text(one, output))
            return
        typer.echo("\n".join(lines(one)))
        which = quote(str(one[kind.id]), safe="/:@")
        if kind.explained:
            _why(ask, kind, which, as_of)
        if kind.told:
            _happened(ask, f"{kind.told}/{which}", as_of)


def _why(ask: Any, kind: Kind, which: str, as_of: str | None) -> None:
    """Say why; the scheduler is asked, and where it does not answer the rest stands."""
    try:
        found = ask.get(asking(f"/explain/{kind.name}/{which}", {"as_of": as_of}))
    except QuartermasterError as error:
        typer.echo(f"\nwhy: cannot be told now ({error.detail})")
        return
    typer.echo(f"\nwhy: {found['sentence']}")


def _happened(ask: Any, subject: str, as_of: str | None) -> None:
    found = ask.get(asking(f"/history/{subject}", {"limit": LATEST, "as_of": as_of}))["items"]
    if not found:
        return
    typer.echo("\nlast happened:")
    for item in found:
        typer.echo(f"  {moment(item['began_at'])}  {item['who']}  {reasoned(item)}")
