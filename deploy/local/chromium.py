"""Finds a Chromium for the console's test in a real browser, and gets it if it is missing."""

import os
import shutil
import subprocess

from deploy.local.errors import EngineError, say

NAMES = ("chromium", "chromium-browser", "google-chrome-stable", "google-chrome")
INSTALL = "apt-get install --no-install-recommends --yes chromium fonts-dejavu-core"


def find_or_get() -> str:
    """Return the browser's path; installed from the distribution when root.

    Raises EngineError with the one command to run when it cannot be had.
    """
    if found := _found():
        return found
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        raise EngineError(f"Chromium is missing: sudo {INSTALL}, or QM_CHROMIUM=path of another")
    say(f"installing Chromium (some minutes, 400 MB): {INSTALL}")
    if subprocess.run(INSTALL.split(), check=False).returncode != 0:
        subprocess.run(["apt-get", "update"], check=False)
        subprocess.run(INSTALL.split(), check=False)
    if found := _found():
        return found
    raise EngineError(f"Chromium could not be installed: {INSTALL}")


def _found() -> str | None:
    named = os.environ.get("QM_CHROMIUM")
    return named or next((path for name in NAMES if (path := shutil.which(name))), None)
