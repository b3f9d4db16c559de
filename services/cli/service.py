"""Wiring of the command `quartermaster`."""

from __future__ import annotations

import sys
from functools import cache

import typer
from pydantic import ValidationError

from services.chassis.errors import QuartermasterError, Refused
from services.cli.adapters.direct import directly
from services.cli.adapters.gateway import Gateway
from services.cli.commands import blame, explain, history, log, rebuild, status
from services.cli.settings import Settings

FOUND, USAGE, UNAVAILABLE = 1, 2, 3


@cache
def gateway() -> Gateway:
    """Return the gateway of the settings."""
    settings = Settings()
    return Gateway(settings.gateway_url, settings.api_token.get_secret_value())


def application() -> typer.Typer:
    """Return every command."""
    app = typer.Typer(no_args_is_help=True, help="Quartermaster: the control plane of a GPU fleet.")
    app.add_typer(log.commands(gateway, directly), name="log")
    status.add_to(app, gateway)
    history.add_to(app, gateway)
    blame.add_to(app, gateway)
    explain.add_to(app, gateway)
    rebuild.add_to(app, gateway)
    return app


def main() -> None:
    """Run the command; refusals and outages are one line and an exit code, not a traceback."""
    try:
        application()()
    except ValidationError as error:
        for problem in error.errors(include_url=False, include_input=False):
            name = f"QM_{problem['loc'][0]}".upper()
            sys.stderr.write(f"{name}: {problem['msg']}; `just up` prints address and token\n")
        sys.exit(USAGE)
    except QuartermasterError as error:
        sys.stderr.write(f"{error.detail}\n")
        sys.exit(code(error))


def code(error: QuartermasterError) -> int:
    """Return the exit code that says whose fault it is."""
    if error.status >= 500:  # noqa: PLR2004 (where HTTP begins to blame the other side)
        return UNAVAILABLE
    return USAGE if type(error) is Refused else FOUND
