"""`quartermaster rebuild`: read models made anew from history while everybody goes on reading."""

from __future__ import annotations

import sys
from time import sleep
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from services.chassis.clock import SystemClock
from services.chassis.errors import Unavailable
from services.cli.commands.following import (
    FIRST_LOOK_S,
    INTERRUPTED,
    LOOK_S,
    PATIENCE_S,
    As_JSON,
    print_json,
    telling,
)
from services.cli.commands.log_views import show

if TYPE_CHECKING:
    from collections.abc import Callable

    from services.cli.commands.following import Gateway, Tell

DIFFERED = 5
SILENCE_S = 20.0  # without a sign of the projector


def add_to(app: typer.Typer, gateway: Callable[[], Gateway]) -> None:
    """Add the command to the application."""

    @app.command()
    def rebuild(
        models: Annotated[
            list[str] | None, typer.Argument(metavar="[MODEL]...", help="None: all of them.")
        ] = None,
        *,
        detach: Annotated[bool, typer.Option("--detach", help="Order it, and wait not.")] = False,
        watch: Annotated[
            str | None, typer.Option(metavar="REBUILD", help="Follow one that is under way.")
        ] = None,
        latest: Annotated[bool, typer.Option("--list", help="Show the latest.")] = False,
        as_json: As_JSON = False,
    ) -> None:
        """Make read models anew from history beside the live ones, compare, swap, all while read.

        Exit with 1 when it failed, with 5 when what was live was not what the log says (it is now).
        Ctrl-C ends the watching, not the rebuild.
        """
        if latest:
            found = gateway().get("/rebuilds")["items"]
            print_json(found) if as_json else rebuilds_table(found)
            return
        id_ = watch or gateway().post("/rebuilds", {"models": models or []})["rebuild_id"]
        if detach:
            ended = gateway().get(f"/rebuilds/{id_}")
        else:
            ended = followed(gateway(), id_, "rebuilding", as_json=as_json)
        print_json(ended) if as_json else typer.echo(outcome(ended))
        if ended["state"] == "failed":
            raise typer.Exit(1)
        if ended["differences"]:
            raise typer.Exit(DIFFERED)


def followed(gateway: Gateway, id_: str, title: str, *, as_json: bool) -> dict[str, Any]:
    """Return a rebuild at its end; raises Unavailable when nobody answers or works on it."""
    try:
        with telling(title, as_json=as_json) as tell:
            return _at_its_end(gateway, id_, tell)
    except KeyboardInterrupt:
        sys.stderr.write(f"{id_} goes on; `quartermaster rebuild --watch {id_}` follows it\n")
        raise typer.Exit(INTERRUPTED) from None


def _at_its_end(gateway: Gateway, id_: str, tell: Tell) -> dict[str, Any]:
    clock, wait_s = SystemClock(), FIRST_LOOK_S
    heard_at = begun_at = clock.monotonic()
    problem = None
    while True:
        try:
            found: dict[str, Any] = gateway.get(f"/rebuilds/{id_}")
        except Unavailable:
            if clock.monotonic() - heard_at > PATIENCE_S:
                raise
        else:
            heard_at = clock.monotonic()
            if found["finished_at"]:
                return found
            if found["state"] == "waiting" and heard_at - begun_at > SILENCE_S:
                raise Unavailable(
                    f"{id_} is recorded, but nobody has begun it: does the projector run, or is it"
                    " at another rebuild (`quartermaster rebuild --list`)?"
                )
            tell(found["position"], found["target"], doing(found))
            if found["problem"] not in (None, problem):
                problem = found["problem"]
                sys.stderr.write(f"{problem}\n")
        sleep(wait_s)
        wait_s = min(LOOK_S, wait_s * 2)


def doing(found: dict[str, Any]) -> str:
    """Return what a rebuild is at, in few words."""
    if found["state"] == "building" and found["events_per_s"]:
        return f"events, {found['events_per_s']:,.0f}/s"
    return f"events, {found['state']}"


def outcome(found: dict[str, Any]) -> str:
    """Return what came of a rebuild, in a line or a few."""
    many = len(found["models"])
    what = ", ".join(found["models"]) if 0 < many <= 3 else f"{many or 'all'} read models"  # noqa: PLR2004 (as many as fit on a line)
    if found["state"] == "failed":
        return f"{found['rebuild_id']} failed: {found['problem']}; what was live is live"
    if found["state"] != "done":
        return f"{found['rebuild_id']}: {found['state']}, {found['position']} of {found['target']}"
    if not found["target"]:
        return f"{found['rebuild_id']}: {what} were made anew since by another rebuild"
    return "\n".join([f"{what} made anew through position {found['position']}", *_differed(found)])


def _differed(found: dict[str, Any]) -> list[str]:
    return [
        f"{each['table']}: {each['rows']} rows were not what the log says"
        f" (such as {', '.join(each['keys'])}); they are now"
        for each in found["differences"]
    ]


def rebuilds_table(found: list[dict[str, Any]]) -> None:
    """Print the latest rebuilds."""
    rows = [
        (
            each["rebuild_id"],
            each["state"],
            each["because"],
            f"{each['position']} of {each['target']}",
            str(len(each["models"]) or "all"),
            (each["started_at"] or each["asked_at"] or "")[:19],
            each["problem"] or "",
        )
        for each in found
    ]
    head = ("rebuild", "state", "because", "how far", "models", "since", "problem")
    show(Console(), head, rows)
