"""The platform's own starter, which only a checkout has: this process becomes it."""

from __future__ import annotations

import importlib.util
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from services.chassis.errors import Refused

if TYPE_CHECKING:
    from collections.abc import Mapping

STARTER = Path("local", "up.py")
MISSING = (
    "this installation has no platform to start: in a checkout of the source `quartermaster up`"
    " (or `just up`) starts one; to work with one that runs, `quartermaster login --url URL`"
)


def begin(environment: Mapping[str, str]) -> None:
    """Become `python -m deploy.local.up`; Refused where that is not installed."""
    root = _root()
    if root is None:
        raise Refused(MISSING)
    told = {**os.environ, **environment}
    told["PYTHONPATH"] = os.pathsep.join(filter(None, (str(root), told.get("PYTHONPATH"))))
    sys.stdout.flush()
    os.execve(sys.executable, [sys.executable, "-m", "deploy.local.up"], told)  # noqa: S606 (our own tool)


def _root() -> Path | None:
    """Return the directory of the checkout; the package is looked for, never imported."""
    found = importlib.util.find_spec("deploy")
    for place in (found.submodule_search_locations if found else None) or ():
        if Path(place, STARTER).is_file():
            return Path(place).parent
    return None
