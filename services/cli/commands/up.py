"""`quartermaster up`: the whole platform on this machine, from a checkout."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


def add_to(app: typer.Typer, begin: Callable[[Mapping[str, str]], None]) -> None:
    """Add the command. begin(environment) becomes the platform, or says why it cannot."""

    @app.command()
    def up(
        *,
        state: Annotated[
            str | None, typer.Option(help="The directory that holds all of it.", envvar="QM_STATE")
        ] = None,
    ) -> None:
        """Start the platform on this machine and say where it is; Ctrl-C stops all of it."""
        begin({"QM_STATE": state} if state else {})
