"""`quartermaster apply` and `diff`: what files say should be there, compared, asked, made so."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.text import Text

from services.chassis.errors import QuartermasterError
from services.cli.commands.documents import read
from services.cli.commands.following import telling
from services.cli.commands.planning import Plan, Step
from services.cli.commands.showing import Plain, Yes, as_text, confirm
from services.cli.decide.words import cell

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

DIFFERS = 1
SIGNS = {"create": ("+", "green"), "change": ("~", "yellow"), "keep": ("=", "dim")}
DONE = {"create": "created", "change": "changed"}
Files = Annotated[
    list[str],
    typer.Option("--file", "-f", help="YAML; a directory: all in it; -: standard input."),
]
Resend = Annotated[
    bool,
    typer.Option(
        "--secrets", help="Send secrets also where there are some: they cannot be compared."
    ),
]


def add_to(app: typer.Typer, gateway: Callable[[], Any]) -> None:
    """Add the commands to the application."""

    @app.command()
    def diff(*, files: Files, secrets: Resend = False, output: Plain = "text") -> None:
        """Show what `apply` would do; exit with 1 when that is anything, with 0 for nothing."""
        plan = Plan(gateway(), read(files), resend=secrets)
        if output == "text":
            _show_text(plan, Console(highlight=False, soft_wrap=True))
        else:
            typer.echo(as_text([step.as_json() for step in plan.steps], output))
        if plan.open:
            raise typer.Exit(DIFFERS)

    @app.command()
    def apply(
        *, files: Files, yes: Yes = False, secrets: Resend = False, output: Plain = "text"
    ) -> None:
        """Make it so: the difference is shown first, then asked about; twice is as good as once.

        What files do not name is left alone. Environments, nodes, models, strategies and webhooks
        can be applied, several documents in a file; contracts/manifests.json is their schema.
        """
        plan = Plan(gateway(), read(files), resend=secrets)
        values = {id(step): _values(step) for step in plan.open}
        is_text = output == "text"
        _show_text(plan, Console(highlight=False, soft_wrap=True, stderr=not is_text))
        done: dict[int, dict[str, Any]] = {}
        try:
            if plan.open:
                confirm(f"Apply {_many(len(plan.open), 'change')}?", yes=yes)
                _carry_out(plan, values, done)
        finally:
            if not is_text:  # also of what was done before a refusal: a secret is told once
                typer.echo(
                    as_text([_told(step, done.get(id(step))) for step in plan.steps], output)
                )
            else:
                _show_secrets(done.values())


def _carry_out(
    plan: Plan, values: dict[int, dict[str, str]], done: dict[int, dict[str, Any]]
) -> None:
    with telling("applying") as tell:
        for number, step in enumerate(plan.open, 1):
            far = (number - 1, len(plan.open))
            done[id(step)] = _do(plan, step, values[id(step)], far)
            tell(number, len(plan.open), step.document.shown)


def _told(step: Step, made: dict[str, Any] | None) -> dict[str, Any]:
    """Return a step with what became of it: created, changed, as it was, or not done."""
    if made is None:
        is_kept = step.difference.action == "keep"
        return {**step.as_json(), "outcome": "as_it_was" if is_kept else "not_done"}
    secret = {"secret": made["secret"]} if made.get("secret") else {}
    outcome = DONE[step.difference.action]
    return {**step.as_json(), "id": made.get("id") or step.id, "outcome": outcome, **secret}


def _show_secrets(done: Iterable[dict[str, Any]]) -> None:
    for made in done:
        if made.get("secret"):
            typer.echo(f"{made['url']}: its signing secret, shown this once: {made['secret']}")


def _do(plan: Plan, step: Step, secrets: dict[str, str], far: tuple[int, int]) -> dict[str, Any]:
    try:
        made = plan.carry_out(step, secrets)
    except QuartermasterError as error:
        place = f"{step.document.file}:{step.document.line}: {step.document.shown}"
        error.detail = (
            f"{place}: {error.detail}\n{far[0]} of {far[1]} are done, the rest was not begun;"
            " apply again: what is done stays as it is"
        )
        raise
    action = DONE[step.difference.action]
    typer.echo(f"{action} {step.document.shown} {made.get('id') or step.id}", err=True)
    return made


def _values(step: Step) -> dict[str, str]:
    """Return the secrets a step needs; Refused naming the variable that is not set."""
    found = {}
    for name, variable in step.difference.secrets.items():
        value = os.environ.get(variable)
        if not value:
            detail = f"the environment variable {variable} is not set"
            raise step.document.refuse(f"spec.{name}", detail)
        found[name] = value
    return found


def _show_text(plan: Plan, console: Console) -> None:
    for step in plan.steps:
        sign, style = SIGNS[step.difference.action]
        console.print(Text(f"{sign} {step.document.shown}", style=style))
        for change in step.difference.changes:
            is_new = step.difference.action == "create"
            said = cell(change.new) if is_new else f"{cell(change.old)} -> {cell(change.new)}"
            console.print(Text(f"    {change.field}: {said}", style=style))
        for name in step.difference.kept:
            console.print(Text(f"    {name}: kept as it is (--secrets sends it)", style="dim"))
    counts = [
        f"{sum(step.difference.action == action for step in plan.steps)} {words}"
        for action, words in (("create", "to create"), ("change", "to change"), ("keep", "as is"))
    ]
    console.print(Text(", ".join(counts), style="bold"))


def _many(count: int, what: str) -> str:
    return f"{count} {what}{'' if count == 1 else 's'}"
