"""`python -m deploy.compose [observability] [demo] COMMAND...`: docker compose, prepared.

With observability every service tells the collector; with demo, agents without TLS are trusted.
"""

import shutil
import subprocess
import sys
from itertools import takewhile
from pathlib import Path

from deploy.compose.prepare import env_file, prepare
from deploy.local.errors import EngineError, say
from deploy.local.places import replace_file
from deploy.local.up import state_root

PROFILES = {
    "observability": {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4318"},
    "demo": {"QM_AGENT_PLAIN_SECRETS": "true"},
}
CLIENTS = (("docker", "compose"), ("podman", "compose"))


def main(arguments: list[str]) -> int:
    """Prepare, then run the compose command; return its exit code."""
    chosen = list(takewhile(PROFILES.__contains__, arguments))
    rest = arguments[len(chosen) :]  # a service may be called as a profile is
    if not rest:
        say("usage: just compose [observability] [demo] up -d | down | ps | logs -f ...")
        return 2
    client = next((each for each in CLIENTS if shutil.which(each[0])), None)
    if client is None:
        say("neither docker nor podman is here: `just up` needs none of them")
        return 1
    try:
        state = state_root() / "compose"
        values = prepare(state)
    except EngineError as error:
        say(str(error))
        return 1
    for profile in chosen:
        values |= PROFILES[profile]
    replace_file(state / "env", env_file(values))
    files = [state / "env", Path(".env")]  # the later one wins: the person's own settings
    given = [word for file in files if file.exists() for word in ("--env-file", str(file))]
    profiles = [word for each in chosen for word in ("--profile", each)]
    return subprocess.call([*client, *given, *profiles, *rest])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
