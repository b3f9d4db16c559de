"""`quartermaster log`: the event log itself: verified, counted, exported, backed up, restored."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from services.chassis.errors import Unavailable
from services.cli.commands.following import As_JSON, follow, print_json, telling
from services.cli.commands.log_export import Wanted, export
from services.cli.commands.log_views import (
    accepted_line,
    backup_line,
    compared_line,
    jobs_table,
    restore_line,
    stats_tables,
    verify_line,
)
from services.cli.commands.rebuild import followed

if TYPE_CHECKING:
    from collections.abc import Callable

    from services.cli.commands.following import Gateway

    Direct = Callable[..., Any]

UNSOUND = 1
URL = "QM_OWNER_DATABASE_URL"


HELP = """The event log itself: verified, counted, exported, backed up, restored.

Exit codes: 0 all is well, 1 something is wrong with the log or what stands on it, 2 wrong use,
3 it could not be done now.
"""


def commands(gateway: Callable[[], Gateway], directly: Direct) -> typer.Typer:
    """Return the commands.

    gateway() gives what answers them; directly(...) works at a database without the platform.
    """
    app = typer.Typer(no_args_is_help=True, help=HELP)
    _add_looking(app, gateway)
    _add_jobs(app, gateway)
    _add_export(app, gateway)
    _add_backups(app, gateway, directly)
    _add_rewind(app, directly)
    return app


def _add_looking(app: typer.Typer, gateway: Callable[[], Gateway]) -> None:
    @app.command()
    def verify(
        *,
        read_models: Annotated[
            bool,
            typer.Option(
                "--read-models",
                help="The read models as well: made anew beside the live ones from the whole log,"
                " compared byte for byte, and dropped; reads go on meanwhile.",
            ),
        ] = False,
        as_json: As_JSON = False,
    ) -> None:
        """Walk the whole log: positions, streams, hash chains, seals, and who stands where in it.

        Exit with 1 and the first bad position, or the rows that differ, when it is not sound.
        """
        report = follow(gateway(), "verify", "verifying", as_json=as_json)
        if read_models and report["ok"]:
            report["read_models"] = _compared(gateway(), as_json=as_json)
        compared = report.get("read_models")
        if as_json:
            print_json(report)
        else:
            typer.echo(verify_line(report))
            if compared is not None:
                typer.echo(compared_line(compared))
        if not report["ok"] or (compared is not None and compared["differences"]):
            raise typer.Exit(UNSOUND)

    @app.command()
    def stats(*, as_json: As_JSON = False) -> None:
        """Count events and bytes by type, stream family and day; show partitions and seals."""
        counted = follow(gateway(), "stats", "counting", as_json=as_json)
        print_json(counted) if as_json else stats_tables(counted)


def _compared(gateway: Gateway, *, as_json: bool) -> dict[str, Any]:
    """Return how the read models differ from what the log says; the projector folds it anew."""
    id_ = gateway.post("/rebuilds", {"only_compare": True})["rebuild_id"]
    ended = followed(gateway, id_, "comparing", as_json=as_json)
    if ended["state"] == "failed":
        raise Unavailable(f"the read models could not be compared: {ended['problem']}")
    return ended


def _add_jobs(app: typer.Typer, gateway: Callable[[], Gateway]) -> None:
    @app.command()
    def jobs(*, as_json: As_JSON = False) -> None:
        """Show the latest jobs on the log, newest first."""
        found = gateway().get("/log/jobs")["items"]
        print_json(found) if as_json else jobs_table(found)

    @app.command()
    def cancel(job_id: str) -> None:
        """Ask a job to end."""
        job = gateway().post(f"/log/jobs/{job_id}/cancel")
        typer.echo(f"{job['job_id']} is {job['state']}" + _soon(job))


def _soon(job: dict[str, Any]) -> str:
    return " and will end" if job["state"] == "running" else ""


def _add_export(app: typer.Typer, gateway: Callable[[], Gateway]) -> None:
    @app.command(name="export")
    def export_(  # noqa: PLR0913
        file: Annotated[str, typer.Argument(help="Where to; - is standard output.")] = "-",
        *,
        types: Annotated[
            list[str] | None, typer.Option("--type", help="Only this type; may be repeated.")
        ] = None,
        streams: Annotated[
            list[str] | None,
            typer.Option("--stream", help="Only this stream, or a family such as node/."),
        ] = None,
        after: Annotated[int, typer.Option(help="Only behind this position.")] = 0,
        through: Annotated[int | None, typer.Option(help="Only up to this position.")] = None,
        since: Annotated[str | None, typer.Option(help="Recorded at or after, ISO 8601.")] = None,
        until: Annotated[str | None, typer.Option(help="Recorded before, ISO 8601.")] = None,
        compress: Annotated[bool, typer.Option("--gzip", help="Compress; so is FILE.gz.")] = False,
        resume: Annotated[
            bool, typer.Option("--resume", help="Go on behind what FILE holds already.")
        ] = False,
    ) -> None:
        """Write events as lines of JSON; one that was cut off goes on with --resume."""
        wanted = Wanted(tuple(types or ()), tuple(streams or ()), after, through, since, until)
        export(gateway(), wanted, file, compress=compress, resume=resume)


def _add_backups(app: typer.Typer, gateway: Callable[[], Gateway], directly: Direct) -> None:
    @app.command()
    def backup(
        directory: Annotated[
            str, typer.Argument(help="Below the journal's QM_BACKUP_DIR; with --direct, here.")
        ],
        *,
        direct: Annotated[
            bool, typer.Option("--direct", help=f"From the database that {URL} names.")
        ] = False,
        with_secrets: Annotated[
            bool,
            typer.Option("--with-secrets", help="The vault's table too, encrypted; --direct only."),
        ] = False,
        as_json: As_JSON = False,
    ) -> None:
        """Back the log up while it goes on; one that was cut off goes on when asked again."""
        if with_secrets and not direct:
            raise typer.BadParameter("the journal has no right to the vault: use --direct")
        if direct:
            with telling("backing up", as_json=as_json) as tell:
                made = directly("backup", directory, tell, secrets=with_secrets)
        else:
            made = follow(gateway(), "backup", "backing up", as_json=as_json, directory=directory)
        print_json(made) if as_json else typer.echo(backup_line(made))

    @app.command()
    def restore(
        directory: Annotated[Path, typer.Argument(help="A backup.", exists=True)],
        *,
        to: Annotated[
            str,
            typer.Option(
                help="The URL of an empty database, as its owner; or a directory that becomes a"
                " place of its own: `QM_STATE=DIRECTORY just up` starts on it.",
                envvar=URL,
            ),
        ],
        with_secrets: Annotated[
            bool, typer.Option("--with-secrets", help="The vault's table too; keep its key.")
        ] = False,
        accept_rewind: Annotated[
            bool, typer.Option("--accept-rewind", help="Also where more was seen than it holds.")
        ] = False,
        as_json: As_JSON = False,
    ) -> None:
        """Restore into an empty log and verify it; exit with 1 when it is unsound or rewound."""
        wish = {"secrets": with_secrets, "accept_rewind": accept_rewind}
        with telling("restoring", as_json=as_json) as tell:
            report = directly("restore", str(directory), tell, url=to, **wish)
        print_json(report) if as_json else typer.echo(restore_line(report))
        if report["rewinds"] or not report["ok"]:
            raise typer.Exit(UNSOUND)


def _add_rewind(app: typer.Typer, directly: Direct) -> None:
    @app.command(name="accept-rewind")
    def accept_rewind(*, as_json: As_JSON = False) -> None:
        """Where the database was put back to an earlier moment: go on from where its log ends.

        The journal does not start there by itself, for others have seen what is gone. Works at the
        database that QM_OWNER_DATABASE_URL names, while the platform is stopped.
        """
        with telling("looking", as_json=as_json) as tell:
            found = directly("accept-rewind", None, tell)
        print_json(found) if as_json else typer.echo(accepted_line(found))
