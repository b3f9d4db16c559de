"""`quartermaster completion`: what a shell reads to complete commands, kinds, names and ids."""

from __future__ import annotations

from typing import Literal

import typer
from typer.completion import get_completion_script  # type: ignore[attr-defined]

PROGRAM = "quartermaster"


def add_to(app: typer.Typer) -> None:
    """Add the command to the application."""

    @app.command()
    def completion(shell: Literal["bash", "zsh", "fish"]) -> None:
        """Print the script for a shell: `eval "$(quartermaster completion bash)"`."""
        typer.echo(
            get_completion_script(
                prog_name=PROGRAM, complete_var=f"_{PROGRAM.upper()}_COMPLETE", shell=shell
            )
        )
