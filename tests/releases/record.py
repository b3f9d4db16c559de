"""`python -m tests.releases.record NAME`: record a log and the schemas of this release, to be kept.

The real platform lives a short life: a load, a worker killed and replaced. What is written holds no
password and no name of this machine. Record one at every release, under a new name; never again
under an old one: what was once recorded must be understood for ever.
"""

from __future__ import annotations

import asyncio
import gzip
import json
import socket
import sys
from pathlib import Path

from deploy.local import engines
from tests.e2e.fleet import Fleet, eventually, started

HISTORIES = Path(__file__).parent
SCHEMAS = Path(__file__).parents[2] / "contracts" / "schemas"
REQUESTS = 40
ALL = """
select json_build_object('position', position, 'event_id', event_id, 'stream', stream,
         'version', version, 'type', type, 'schema_version', schema_version, 'data', data,
         'meta', meta, 'recorded_at', recorded_at)
  from log.all_events order by position"""


async def life() -> str:
    """Return the log of a short life, one event a line."""
    async with started() as fleet:
        await fleet.serve("load", REQUESTS, 6.0)
        await eventually(lambda: len(fleet.served("load")) == REQUESTS, 60.0)
        victim = await fleet.kill_worker("node-1")
        await eventually(lambda: fleet.is_replaced(victim), 60.0)
        text = engines.postgres(fleet.state).query(ALL, "quartermaster")
        found = [secret for secret in secrets_of(fleet) if secret in text]
    assert not found, "a secret is in the log"
    return text.replace(socket.gethostname(), "host") + "\n"


def secrets_of(fleet: Fleet) -> list[str]:
    """Return everything that nobody may find in a log."""
    credentials = fleet.engines.credentials
    tokens = (fleet.platform.api_token, fleet.platform.agent_token)
    return [*tokens, *credentials.broker.values(), *credentials.database.values()]


def keep(name: str, log: str) -> None:
    """Write a log, and the schemas that its events were written under."""
    schemas = {path.name: json.loads(path.read_text()) for path in sorted(SCHEMAS.glob("*.json"))}
    _write(HISTORIES / f"{name}.jsonl.gz", log)
    _write(HISTORIES / f"{name}.schemas.json.gz", json.dumps(schemas, sort_keys=True))


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(gzip.compress(text.encode(), mtime=0))


if __name__ == "__main__":
    keep(sys.argv[1], asyncio.run(life()))
