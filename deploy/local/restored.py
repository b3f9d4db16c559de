"""`python -m deploy.local.restored BACKUP STATE`: a backup of the log becomes a place of its own.

`QM_STATE=STATE just up` then starts the platform on it; its read models are built from the log.
Progress and the outcome are lines of JSON on standard output. Exits with 0 when what is restored
verifies, with 1 when it or the backup is damaged, with 2 when it is used wrongly.
"""

import asyncio
import json
import os
import subprocess
import sys
from pathlib import Path

from deploy.local import engines
from deploy.local.engines import EngineError
from deploy.local.errors import say
from deploy.local.running import only_run
from services.chassis.migrations import URL_VARIABLE, migrate

PLACE = "up"  # where `just up` looks below its state


def restore(state: Path, arguments: list[str]) -> int:
    """Start the engines of a place, restore into its database, stop them; return the exit code."""
    running = engines.start(state)
    try:
        asyncio.run(migrate(running.owner_url()))
        tool = [sys.executable, "-m", "services.journal", "restore", *arguments]
        environment = {**os.environ, URL_VARIABLE: running.owner_url()}
        return subprocess.run(tool, env=environment, check=False).returncode
    finally:
        engines.stop(state)


def main() -> int:
    """Restore the backup that the command line names; return the exit code."""
    if len(sys.argv) < 3 or sys.argv[2].startswith("-"):  # noqa: PLR2004
        say("usage: python -m deploy.local.restored BACKUP STATE [--with-secrets]")
        return 2
    backup, place, *options = sys.argv[1:]
    state = Path(place).resolve() / PLACE
    try:
        with only_run(state):
            return restore(state, [str(Path(backup).resolve()), *options])
    except EngineError as error:
        print(json.dumps({"problem": str(error)}), flush=True)
        return 2


if __name__ == "__main__":
    sys.exit(main())
