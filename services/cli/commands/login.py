"""`quartermaster login`, `logout`, `whoami`, `context`: as whom, and at which gateway."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated, Any, Protocol

import typer

from services.chassis.errors import NotFound, Refused
from services.cli.commands.showing import Plain, as_text, show_rows
from services.cli.decide.words import NOTHING, lines

if TYPE_CHECKING:
    from collections.abc import Callable


class Entry(Protocol):
    """What lets somebody in and keeps it."""

    url: str
    context: str
    logins: Any

    def log_in(self, username: str, password: str) -> None:
        """Exchange a name and a password for tokens, and keep them."""

    def take(self, token: str, username: str) -> None:
        """Keep a token that somebody was given."""

    def log_out(self) -> bool:
        """End the session there and forget it here; False when there was none."""


Context = Annotated[str | None, typer.Option(help="Under which name it is kept; see `context`.")]


def add_to(app: typer.Typer, entry: Callable[..., Entry], gateway: Callable[..., Any]) -> None:
    """Add the commands. entry(url, context, token) is a door; gateway(entry) answers behind it."""
    _add_login(app, entry, gateway)
    _add_whoami(app, entry, gateway)
    _add_context(app, entry)


def _add_login(app: typer.Typer, entry: Callable[..., Entry], gateway: Callable[..., Any]) -> None:
    @app.command()
    def login(
        *,
        username: Annotated[str | None, typer.Option("--username", "-u")] = None,
        url: Annotated[str | None, typer.Option(help="The gateway.")] = None,
        password_stdin: Annotated[
            bool, typer.Option("--password-stdin", help="Read the password from standard input.")
        ] = False,
        token_stdin: Annotated[
            bool, typer.Option("--token-stdin", help="Read a token or an API key instead.")
        ] = False,
        context: Context = None,
    ) -> None:
        """Log in, and keep what was given in a file that only you can read.

        No password is taken from the command line, where others would see it.
        """
        shown = sys.stdin.readline().strip() if token_stdin else None
        if shown == "":
            raise Refused("no token came on standard input")
        door = entry(url, context, shown)
        if shown is None:
            name = username or typer.prompt("Username")
            password = _password(from_stdin=password_stdin)
            door.log_in(name, password)
        me = gateway(door).plain("/auth/me")
        if shown is not None:
            door.take(shown, me["username"])
        typer.echo(f"logged in at {door.url} as {me['username']} ({me['role']})")

    @app.command()
    def logout(*, context: Context = None) -> None:
        """End the session and forget its tokens."""
        door = entry(None, context)
        if not door.log_out():
            raise NotFound(f"nobody is logged in at {door.url}")
        typer.echo(f"logged out at {door.url}")


def _password(*, from_stdin: bool) -> str:
    if from_stdin:
        return sys.stdin.readline().rstrip("\n")
    return str(typer.prompt("Password", hide_input=True))


def _add_whoami(app: typer.Typer, entry: Callable[..., Entry], gateway: Callable[..., Any]) -> None:
    @app.command()
    def whoami(*, output: Plain = "text") -> None:
        """Show who you are to the gateway, and what you may do."""
        door = entry(None, None)
        me = {"gateway": door.url, "context": door.context, **gateway(door).plain("/auth/me")}
        typer.echo(as_text(me, output) if output != "text" else "\n".join(lines(me)))


def _add_context(app: typer.Typer, entry: Callable[..., Entry]) -> None:
    @app.command()
    def context(
        name: Annotated[str | None, typer.Argument(help="Use this one from now on.")] = None,
    ) -> None:
        """List the logins that are kept, or use another one. QM_CONTEXT is for one shell."""
        logins = entry(None, None).logins
        if name is None:
            kept = logins.read()
            rows = [
                ("*" if each == kept.current else "", each, login.url, login.username or NOTHING)
                for each, login in sorted(kept.logins.items())
            ]
            show_rows(("", "CONTEXT", "GATEWAY", "AS"), rows)
            return
        with logins.changing() as kept:
            if name not in kept.logins:
                raise NotFound(
                    f"there is no context {name}:"
                    f" `quartermaster login --url URL --context {name}` makes it"
                )
            kept.current = name
        typer.echo(f"{name} is used from now on")
