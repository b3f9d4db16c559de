"""`quartermaster get`: what there is of a kind, or one of them, now or at any moment before."""

from collections.abc import Callable
from functools import partial
from typing import Annotated, Any

import typer

from services.chassis.errors import Refused
from services.cli.commands.finding import AKind, all_of, completing, id_of, one_of
from services.cli.commands.showing import AsOf, Output, Watch, as_text, show_rows, watching
from services.cli.commands.status import told
from services.cli.decide.kinds import KINDS, Column, Kind, value
from services.cli.decide.words import NOTHING, cell

OfEnvironment = Annotated[
    str | None, typer.Option("--environment", "-e", help="Only of this environment.")
]
OfModel = Annotated[str | None, typer.Option("--model", help="Only of this model.")]
OnNode = Annotated[str | None, typer.Option("--node", help="Only on this node.")]
InState = Annotated[str | None, typer.Option("--state", help="Only in this state.")]


def add_to(app: typer.Typer, gateway: Callable[[], Any]) -> None:
    """Add the command to the application."""
    complete = completing(gateway)

    @app.command()
    def get(  # noqa: PLR0913 (one for each option)
        kind: AKind,
        id_: Annotated[
            str | None, typer.Argument(metavar="[ID|NAME]", autocompletion=complete)
        ] = None,
        *,
        environment: OfEnvironment = None,
        model: OfModel = None,
        node: OnNode = None,
        state: InState = None,
        everything: Annotated[
            bool, typer.Option("--all", "-a", help="Also instances and alerts that are over.")
        ] = False,
        output: Output = "table",
        as_of: AsOf = None,
        watch: Watch = False,
    ) -> None:
        """List environments, models, nodes, gpus, instances, queues, deployments, strategies, ...

        Exit with 1 when the one that was asked for is not there. Live figures of the past that are
        no longer kept are shown as a dash.
        """
        if as_of and not kind.has_past:
            raise Refused(f"{kind.plural} are shown as they are now: leave --as-of out")
        named = {"environment": environment, "model": model, "node": node, "state": state}
        narrowed = {name: said for name, said in named.items() if said is not None}
        if wrong := narrowed.keys() - kind.narrowed.keys():
            raise Refused(f"{kind.plural} have no {min(wrong)}")

        def look() -> tuple[Any, Callable[[], None]]:
            ask = gateway()
            if id_ is not None:
                one = one_of(ask, kind, id_, as_of)
                return one, partial(_show, ask, kind, {"items": [one]}, output, as_of)
            wanted = _wanted(ask, kind, narrowed, as_of)
            wanted |= {} if everything or state else kind.usual
            found = all_of(ask, kind, wanted)
            return found["items"], partial(_show, ask, kind, found, output, as_of, whole=True)

        watching(look, watch=watch)


def _wanted(ask: Any, kind: Kind, narrowed: dict[str, str], as_of: str | None) -> dict[str, Any]:
    """Return a list's parameters; names become ids."""
    wanted: dict[str, Any] = {"as_of": as_of} if kind.has_past else {}
    for name, said in narrowed.items():
        of = KINDS.get(name)
        wanted[kind.narrowed[name]] = id_of(ask, of, said, as_of) if of else said
    return wanted


def _show(
    ask: Any,
    kind: Kind,
    found: dict[str, Any],
    output: str,
    as_of: str | None,
    *,
    whole: bool = False,
) -> None:
    items = found["items"]
    if output in ("json", "yaml"):
        typer.echo(as_text(found if whole else items[0], output))
        return
    if output == "name":
        typer.echo("\n".join(str(each[kind.id]) for each in items))
        return
    if found.get("as_of"):
        typer.echo(told(found["as_of"]), err=True)
    if not items:
        typer.echo(f"there are no {kind.plural}", err=True)
        return
    columns = kind.columns + (kind.wide if output == "wide" else ())
    of = {column.of for column in columns if column.of}
    names = {each: _names(ask, KINDS[each], as_of) for each in sorted(of)}
    head = [column.title.upper() for column in columns]
    show_rows(head, [[_cell(each, column, names) for column in columns] for each in items])


def _names(ask: Any, kind: Kind, as_of: str | None) -> dict[str, str]:
    """Return what things of a kind are called, by their ids."""
    found = all_of(ask, kind, {"as_of": as_of})["items"]
    return {str(each[kind.id]): str(each[kind.named or kind.id]) for each in found}


def _cell(thing: dict[str, Any], column: Column, names: dict[str, dict[str, str]]) -> str:
    said = cell(value(thing, column.path))
    return said if column.of is None or said == NOTHING else names[column.of].get(said, said)
