"""`quartermaster explain`: why something is as it is, and what would change it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any
from urllib.parse import quote

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from contracts.http.explain import Kind
from services.cli.commands.following import As_JSON
from services.cli.commands.history import AsOf, asking, moment
from services.cli.commands.showing import Plain, is_told

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.console import RenderableType

SHOWN = 12  # facts of its history; `quartermaster history` shows all of them
WORDS = 2
_NUMBERS = ("wait_s", "busy_threshold_s", "mean_length", "quiet_s", "idle_s", "failures")


def add_to(app: typer.Typer, gateway: Any) -> None:
    """Add the command to the application."""

    @app.command()
    def explain(
        kind: Kind,
        id_: Annotated[str, typer.Argument(metavar="ID|NAME", help="A GPU also as NODE:INDEX.")],
        *,
        as_of: AsOf = None,
        output: Plain = "text",
        as_json: As_JSON = False,
    ) -> None:
        """Show why, what else counted, who lost, what would change it, and how it came."""
        path = f"/explain/{kind}/{quote(id_, safe='/:@')}"
        found = gateway().get(asking(path, {"as_of": as_of}))
        if is_told(found, output, as_json=as_json):
            return
        now = "now" if as_of is None else "then"
        console = Console()
        if console.is_terminal:
            for part in drawn(found, now):
                console.print(part)
        else:
            typer.echo("\n".join(plain(found, now)))


def sections(found: dict[str, Any], now: str) -> Iterator[tuple[str, list[tuple[str, str, str]]]]:
    """Yield each part of an answer: its title, and rows of position, moment and words."""
    rest = found["reasons"][1:]
    if rest:
        yield "other reasons, the strongest first", [_reason(each, now) for each in rest]
    lost = [("", "", each["sentence"]) for each in found["alternatives"]]
    if lost:
        yield "these came closest and lost", lost
    would = [("", "", each["sentence"]) for each in found["counterfactuals"]]
    if would or found["tried"]:
        times = "once" if found["tried"] == 1 else f"{found['tried']} times"
        none = [("", "", f"nothing: decided again {times} with one thing changed, it stays so")]
        yield "what would change it", would or none
    facts = gathered(found["history"])
    if facts:
        yield "what happened, newest first", facts[:SHOWN]


def gathered(history: list[dict[str, Any]]) -> list[tuple[str, str, str]]:
    """Return rows of facts; one that only says again what one of the last two said is counted."""
    rows: list[tuple[dict[str, Any], list[int]]] = []
    for entry in history:
        same = next((again for told, again in rows[-2:] if _is_again(told, entry)), None)
        if same is None:
            rows.append((entry, []))
        else:
            same.append(entry["position"])
    return [(str(e["position"]), moment(e["at"]), _times(e["sentence"], a)) for e, a in rows]


def _is_again(told: dict[str, Any], entry: dict[str, Any]) -> bool:
    return bool(told["sentence"] == entry["sentence"])


def _times(sentence: str, again: list[int]) -> str:
    """Return a sentence, with how often it was said before."""
    if not again:
        return sentence
    often = "once" if len(again) == 1 else f"{len(again)} times"
    return f"{sentence} ({often} before, since position {again[-1]})"


def _reason(reason: dict[str, Any], now: str) -> tuple[str, str, str]:
    place = str(reason["position"]) if reason["recorded"] else now
    return place, moment(reason["at"]) if reason["recorded"] else "", reason["sentence"]


def evidence(found: dict[str, Any]) -> str:
    """Return what the dominant reason stands on, in one line."""
    reason = found["reasons"][0]
    numbers = [f"{k}={_short(reason['numbers'][k])}" for k in _NUMBERS if k in reason["numbers"]]
    source = "recorded at" if reason["recorded"] else "decided at"
    where = f"{source} position {reason['position']}, {moment(reason['at'])} UTC"
    strategy = [f"strategy {reason['strategy']}"] if reason.get("strategy") else []
    return ", ".join([reason["code"], where, *strategy, *numbers])


def _short(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def plain(found: dict[str, Any], now: str = "now") -> list[str]:
    """Return the answer as lines, the sentence first."""
    lines = [found["sentence"], f"  {evidence(found)}"]
    for title, rows in sections(found, now):
        lines += ["", f"{title}:"]
        lines += ["  " + "  ".join(part for part in row if part) for row in rows]
    return [*lines, *([_earlier(found)] if _earlier(found) else [])]


def drawn(found: dict[str, Any], now: str = "now") -> Iterator[RenderableType]:
    """Yield the answer for a terminal, the sentence first."""
    yield Text(found["sentence"], style="bold")
    yield Text(evidence(found), style="dim")
    for title, rows in sections(found, now):
        yield Text(f"\n{title}", style="cyan")
        used = [column for column in range(3) if any(row[column] for row in rows)]
        table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
        for column in used:
            is_words = column == WORDS
            table.add_column(style="" if is_words else "dim", no_wrap=not is_words)
        for row in rows:
            table.add_row(*(Text(row[column]) for column in used))
        yield table
    if _earlier(found):
        yield Text(_earlier(found), style="dim")


def _earlier(found: dict[str, Any]) -> str:
    if not found["earlier_before"] and len(gathered(found["history"])) <= SHOWN:
        return ""
    command = f"quartermaster history {found['kind']} {found['id']}"
    return f"there is more before: {command}"
