"""`quartermaster blame`: what an event came of up to the first cause, and what it led to."""

from __future__ import annotations

from typing import Annotated, Any

import typer
from rich.console import Console
from rich.text import Text
from rich.tree import Tree

from services.cli.commands.following import As_JSON
from services.cli.commands.history import AsOf, asking, moment, reasoned
from services.cli.commands.showing import Plain, is_told

CUT = "... and more that is not shown"
_ENDS = {
    "cut": "... and more causes between: ask for them with --causes",
    "unknown": "... what it came of is not in the log any more",
}


def add_to(app: typer.Typer, gateway: Any) -> None:
    """Add the command to the application."""

    @app.command()
    def blame(
        event: Annotated[str, typer.Argument(metavar="POSITION|EVENT_ID")],
        *,
        causes: Annotated[int, typer.Option(min=0, max=200, help="Steps back.")] = 50,
        depth: Annotated[int, typer.Option(min=0, max=30, help="Steps forward.")] = 12,
        effects: Annotated[int, typer.Option(min=0, max=500, help="Effects in all.")] = 100,
        as_of: AsOf = None,
        output: Plain = "text",
        as_json: As_JSON = False,
    ) -> None:
        """Show the chain of causes of an event, and the tree of what came of it."""
        wanted = {"causes": causes, "depth": depth, "effects": effects, "as_of": as_of}
        found = gateway().get(asking(f"/blame/{event}", wanted))
        console = Console()
        if is_told(found, output, as_json=as_json):
            return
        if console.is_terminal:
            console.print(drawn(found))
        else:
            typer.echo("\n".join(plain(found)))


def drawn(found: dict[str, Any]) -> Tree:
    """Return the answer as a tree: the first cause is its root, every effect a branch."""
    root = Tree("came of", hide_root=True)
    branch = root
    for words, is_it in _chain(found):
        branch = branch.add(Text(words, style="bold" if is_it else ""))
    _grow(branch, found["effects"], more=_is_short(found))
    return root


def plain(found: dict[str, Any]) -> list[str]:
    """Return the answer as lines: causes from the first on, effects set in."""
    lines = [("> " if is_it else "  ") + words for words, is_it in _chain(found)]
    return lines + _set_in(found["effects"], 2, more=_is_short(found))


def _chain(found: dict[str, Any]) -> list[tuple[str, bool]]:
    """Return the chain from its beginning to the event itself, and which of it that is."""
    lines = [(_line(cause), False) for cause in reversed(found["causes"])]
    if mark := _ENDS.get(found["end"]):
        lines.insert(0, (mark, False))
        if found["first"]:
            lines.insert(0, (_line(found["first"]), False))
    return [*lines, (_line(found["event"]), True)]


def _is_short(found: dict[str, Any]) -> bool:
    """Return whether the event itself led to more than is shown."""
    return bool(found["event_cut"])


def _grow(branch: Tree, effects: list[dict[str, Any]], *, more: bool) -> None:
    for effect in effects:
        _grow(branch.add(Text(_line(effect))), effect["effects"], more=effect["cut"])
    if more:
        branch.add(Text(CUT, style="dim"))


def _set_in(effects: list[dict[str, Any]], depth: int, *, more: bool) -> list[str]:
    lines = []
    for effect in effects:
        lines.append(f"{'  ' * depth}{_line(effect)}")
        lines += _set_in(effect["effects"], depth + 1, more=effect["cut"])
    return [*lines, f"{'  ' * depth}{CUT}"] if more else lines


def _line(event: dict[str, Any]) -> str:
    who = f" ({event['who']})" if event.get("who") else ""
    return f"{event['position']} {moment(event['at'])} {reasoned(event)}{who}"
