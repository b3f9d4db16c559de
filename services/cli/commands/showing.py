"""How answers look: tables for people, plain fields where nobody looks, JSON and YAML for programs.

Every command that reads takes the same `--output`, and `--watch` where watching makes sense.
"""

from __future__ import annotations

import sys
from time import sleep
from typing import TYPE_CHECKING, Annotated, Any, Literal

import orjson
import typer
import yaml
from rich.console import Console
from rich.table import Table
from rich.text import Text

from services.chassis.errors import Refused

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from rich.console import RenderableType

Format = Literal["table", "wide", "json", "yaml", "name"]
Output = Annotated[
    Format,
    typer.Option("--output", "-o", help="wide: more columns. name: ids alone, a line each."),
]
Plain = Annotated[
    Literal["text", "json", "yaml"], typer.Option("--output", "-o", help="For people or programs.")
]
Watch = Annotated[
    bool, typer.Option("--watch", "-w", help="Go on, and show it again when it has changed.")
]
AsOf = Annotated[
    str | None, typer.Option(help="As it was at this position of the log, or at this time.")
]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do it without asking.")]
LOOK_S = 2.0


def as_text(found: Any, output: str) -> str:
    """Return an answer as JSON or YAML."""
    if output == "json":
        return orjson.dumps(found, option=orjson.OPT_INDENT_2).decode()
    return yaml.safe_dump(found, sort_keys=False, allow_unicode=True, width=100).rstrip("\n")


def is_told(found: Any, output: str, *, as_json: bool) -> bool:
    """Print an answer for programs; False when it is for people."""
    if as_json:
        typer.echo(orjson.dumps(found).decode())
    elif output != "text":
        typer.echo(as_text(found, output))
    return as_json or output != "text"


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> RenderableType:
    """Return rows for a terminal; what they say is never taken for markup."""
    drawn = Table(*head, box=None, header_style="bold", pad_edge=False)
    for row in rows:
        drawn.add_row(*(Text(cell) for cell in row))
    return drawn


def show_rows(head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print rows: a table on a terminal, elsewhere lines of fields with tabs between."""
    console = Console()
    if console.is_terminal:
        console.print(table(head, rows))
    else:
        typer.echo("\n".join("\t".join(row) for row in (head, *rows)))


def watching(look: Callable[[], tuple[Any, Callable[[], None]]], *, watch: bool) -> None:
    """Show once, or again whenever it has changed, until Ctrl-C.

    look() returns what there is, and what prints it.
    """
    found, show = look()
    show()
    console = Console()
    while watch:
        sleep(LOOK_S)
        again, show = look()
        if again != found:
            found = again
            if console.is_terminal:
                console.clear()
            show()
            sys.stdout.flush()


def confirm(question: str, *, yes: bool) -> None:
    """Return when somebody says yes; ends with 2 where nobody can be asked, with 1 at a no."""
    if yes:
        return
    if not sys.stdin.isatty():
        raise Refused(f"{question} Nobody can be asked here: add --yes to mean it")
    typer.confirm(question, abort=True, err=True)
