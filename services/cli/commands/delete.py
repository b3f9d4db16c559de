"""`quartermaster delete`: one thing, after asking."""

from collections.abc import Callable
from typing import Annotated, Any
from urllib.parse import quote

import typer

from services.chassis.errors import Refused
from services.cli.commands.finding import AKind, completing, one_of
from services.cli.commands.showing import Yes, confirm
from services.cli.decide.kinds import KINDS


def add_to(app: typer.Typer, gateway: Callable[[], Any]) -> None:
    """Add the command to the application."""
    complete = completing(gateway)

    @app.command()
    def delete(
        kind: AKind,
        id_: Annotated[str, typer.Argument(metavar="ID|NAME", autocompletion=complete)],
        *,
        yes: Yes = False,
        force: Annotated[
            bool, typer.Option("--force", help="A node although something runs on it.")
        ] = False,
    ) -> None:
        """Delete an environment, model, node, strategy, webhook, account or key; it asks before."""
        if not kind.deletable:
            can = ", ".join(each.plural for each in KINDS.values() if each.deletable)
            raise Refused(f"{kind.plural} are not deleted; these are: {can}")
        if force and kind.name != "node":
            raise Refused("--force is for nodes")
        ask = gateway()
        one = one_of(ask, kind, id_)
        which, called = str(one[kind.id]), str(one.get(kind.named or "") or "")
        shown = f"{kind.name} {called} ({which})" if called else f"{kind.name} {which}"
        confirm(f"Delete {shown}?", yes=yes)
        ask.delete(f"{kind.path}/{quote(which)}", [("force", True)] if force else None)
        typer.echo(f"deleted {shown}")
