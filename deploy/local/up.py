"""`python -m deploy.local.up`: the platform on this machine, until Ctrl-C.

State lies in `.quartermaster/up` of the project (QM_STATE names another place) and is kept.
"""

import asyncio
import os
import sys
from pathlib import Path

from deploy.local.engines import EngineError
from deploy.local.errors import say
from deploy.local.platform import ROOT, Plan, Platform
from deploy.local.running import only_run, until_stopped
from services.chassis.errors import QuartermasterError

STATE = "QM_STATE"


def state_root() -> Path:
    """Return the directory that holds everything this project keeps on this machine."""
    return Path(os.environ.get(STATE) or ROOT / ".quartermaster").resolve()


async def serve(platform: Platform) -> None:
    """Start everything, say where it is, and stop it all when told to."""
    try:
        await platform.start()
        await platform.ready()
        say(f"ready at {platform.gateway_url}")
        say(f"console at {platform.console_url}, with the API token below")
        say(f"export QM_GATEWAY_URL={platform.gateway_url} QM_API_TOKEN={platform.api_token}")
        say(f"logs in {platform.state / 'logs'}; Ctrl-C stops everything started here")
        await asyncio.Event().wait()
    finally:
        say("stopping")
        await platform.stop()


def main() -> int:
    """Run until Ctrl-C; return the exit code."""
    if sys.argv[1:]:
        say(f"{sys.argv[1]!r} is not understood: this command takes no arguments")
        return 2
    state = state_root() / "up"
    try:
        with only_run(state):
            until_stopped(serve(Platform(Plan(state), say)))
    except (EngineError, QuartermasterError) as error:
        say(str(error))
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
