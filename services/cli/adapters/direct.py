"""Work at a database itself: the journal's own tool, in a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import orjson

from services.chassis.errors import QuartermasterError, Refused, Unavailable

if TYPE_CHECKING:
    from collections.abc import Callable

URL = "QM_OWNER_DATABASE_URL"
UNSOUND, UNAVAILABLE = 1, 3


class Unsound(QuartermasterError):
    """What was to be worked on is damaged."""

    code = "unsound"
    status = 409


def directly(
    command: str,
    directory: str | None,
    tell: Callable[[int, int, str], None],
    *,
    url: str | None = None,
    secrets: bool = False,
    accept_rewind: bool = False,
) -> dict[str, Any]:
    """Run work at a database and return its result; a URL never is an argument of a process.

    command: `backup`, `restore`, or `accept-rewind`, which has no directory.

    url: of a database, as its owner; for `restore` also a directory, which becomes a place with
    engines of its own.
    Raises Refused, Unsound for a damaged backup, Unavailable when the database does not answer.
    """
    arguments = [sys.executable, "-m", *_tool(command, directory, url)]
    arguments += ["--with-secrets"] * secrets + ["--accept-rewind"] * accept_rewind
    environment = {**os.environ, **({URL: url} if url and _is_url(url) else {})}
    result: dict[str, Any] | None = None
    problem = ""
    with subprocess.Popen(arguments, env=environment, stdout=subprocess.PIPE) as process:  # noqa: S603 (our own tool)
        for line in process.stdout or ():
            said = orjson.loads(line)
            if "progress" in said:
                progress = said["progress"]
                tell(progress["done"], progress["total"], progress["what"])
            result, problem = said.get("result", result), said.get("problem", problem)
    if result is not None:
        return result
    problem = problem or f"it ended with {process.returncode}"
    raise {UNSOUND: Unsound, UNAVAILABLE: Unavailable}.get(process.returncode, Refused)(problem)


def _tool(command: str, directory: str | None, url: str | None) -> list[str]:
    if directory is None:
        return ["services.journal", command]
    if url is None or _is_url(url):
        return ["services.journal", command, directory]
    return ["deploy.local.restored", directory, url]


def _is_url(said: str) -> bool:
    return "://" in said
