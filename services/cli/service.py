"""Wiring of the command `quartermaster`."""

from __future__ import annotations

import sys
from functools import cache
from typing import TYPE_CHECKING

import typer
from pydantic import ValidationError

from services.chassis.errors import QuartermasterError, Refused
from services.cli.adapters import checkout
from services.cli.adapters.direct import directly
from services.cli.adapters.entry import Entry, NotAllowed
from services.cli.adapters.gateway import Gateway
from services.cli.adapters.keeping import Logins
from services.cli.commands import (
    apply,
    blame,
    completion,
    delete,
    describe,
    events,
    explain,
    get,
    history,
    log,
    login,
    logs,
    parked,
    rebuild,
    status,
    top,
    up,
)
from services.cli.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Callable

FOUND, USAGE, UNAVAILABLE, NOT_ALLOWED = 1, 2, 3, 4
INTERRUPTED = 130
HELP = """Quartermaster: the control plane of a GPU fleet.

Exit codes: 0 all is well.

1 something was found: a thing that is not there, a conflict, a difference, damage.

2 wrong use. 3 it could not be done now: the same again, later. 4 not let in.

5 a rebuild mended something. 130 ended by Ctrl-C.

QM_URL is the gateway, QM_TOKEN an access token or API key, QM_CONTEXT one of the kept logins.
"""


def entry(url: str | None = None, context: str | None = None, token: str | None = None) -> Entry:
    """Return where to and as whom: what is said here, the environment, what is kept; in order."""
    settings = Settings()
    shown = settings.token.get_secret_value() if settings.token else None
    return Entry(
        Logins(),
        url=url or settings.url,
        token=token or shown,
        context=context or settings.context,
        api=settings.api_v1_str,
    )


def application(
    entry: Callable[..., Entry] = entry, behind: Callable[[Entry], Gateway] = Gateway
) -> typer.Typer:
    """Return every command. entry(url, context, token): a door; behind(entry): what answers."""

    @cache
    def gateway() -> Gateway:
        return behind(entry())

    app = typer.Typer(
        no_args_is_help=True,
        help=HELP,
        pretty_exceptions_enable=False,
        rich_markup_mode="markdown" if sys.stdout.isatty() else None,
    )
    up.add_to(app, checkout.begin)
    login.add_to(app, entry, behind)
    status.add_to(app, gateway)
    top.add_to(app, gateway)
    get.add_to(app, gateway)
    describe.add_to(app, gateway)
    apply.add_to(app, gateway)
    delete.add_to(app, gateway)
    logs.add_to(app, gateway)
    events.add_to(app, gateway)
    explain.add_to(app, gateway)
    history.add_to(app, gateway)
    blame.add_to(app, gateway)
    app.add_typer(parked.commands(gateway), name="parked")
    app.add_typer(log.commands(gateway, directly), name="log")
    rebuild.add_to(app, gateway)
    completion.add_to(app)
    return app


def main() -> None:
    """Run the command; refusals and outages are one line and an exit code, not a traceback."""
    try:
        application()()
    except ValidationError as error:
        for problem in error.errors(include_url=False, include_input=False):
            name = f"QM_{problem['loc'][0]}".upper() if problem["loc"] else "the environment"
            sys.stderr.write(f"{name}: {problem['msg']}\n")
        sys.exit(USAGE)
    except QuartermasterError as error:
        sys.stderr.write(f"{error.detail}\n")
        sys.exit(code(error))
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)


def code(error: QuartermasterError) -> int:
    """Return the exit code that says whose fault it is."""
    if isinstance(error, NotAllowed):
        return NOT_ALLOWED
    if error.status >= 500:  # noqa: PLR2004 (where HTTP begins to blame the other side)
        return UNAVAILABLE
    return USAGE if type(error) is Refused else FOUND
