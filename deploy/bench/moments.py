"""A log whose events lie as far apart as a fleet's do, though they are appended within a minute.

What looks back takes a stretch of time: five minutes of a queue's samples, the reports of a window.
In a log that was written in a minute every such stretch holds everything, as in no real one.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from deploy.local import engines
from deploy.local.engines import Engines

DATABASE = "quartermaster"
CLOCK = "clock_timestamp()"
_DEFINITIONS = """
select pg_get_functiondef(oid) || ';' from pg_proc
 where pronamespace = 'log'::regnamespace and proname = 'append'"""


@contextmanager
def apart(running: Engines, events: int, per_s: float) -> Iterator[None]:
    """Let the append function's clock be `events` at `per_s` ago, and go on with each event.

    The events of one append share a moment, as always. Afterwards it is the database's clock again.
    """
    database = engines.postgres(running.state)
    definitions = database.query(_DEFINITIONS, DATABASE)
    ago = f"(log.head() - {events}) * interval '{1 / per_s:.9f} s'"
    database.query(definitions.replace(CLOCK, f"(now() + {ago})"), DATABASE)
    try:
        yield
    finally:
        database.query(definitions, DATABASE)
        database.query("checkpoint", DATABASE)
