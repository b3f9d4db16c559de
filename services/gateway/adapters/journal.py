"""The journal's reads and jobs, over the bus."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson

from services.chassis import wire
from services.chassis.errors import (
    Bug,
    Conflict,
    NotFound,
    QuartermasterError,
    Refused,
    Unavailable,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from services.chassis.ports import Bus

TIMEOUT_S = 15.0
# What is not the asker's fault must not be told as if it were.
_CLASSES: dict[str, type[QuartermasterError]] = {
    each.code: each for each in (NotFound, Conflict, Unavailable, Bug)
}


class JournalOverBus:
    """Asks the journal what only the log itself can tell.

    Every method raises Unavailable, Refused for a question that is wrong, NotFound, Conflict, and
    Bug where the journal failed.
    """

    def __init__(self, bus: Bus) -> None:
        self._bus = bus

    async def start(self, kind: str, parameters: Mapping[str, Any], actor: str) -> bytes:
        """Start a job, or join the one that is at work already; return it as JSON."""
        _, job = await self._ask("job.start", kind=kind, parameters=parameters, actor=actor)
        return job

    async def jobs(self) -> bytes:
        """Return the jobs that are kept, newest first, as a JSON array."""
        return (await self._ask("job.list"))[1]

    async def job(self, job_id: str) -> bytes:
        """Return a job as JSON."""
        return (await self._ask("job.show", job_id=job_id))[1]

    async def cancel(self, job_id: str) -> bytes:
        """Ask a job to end; return it as JSON."""
        return (await self._ask("job.cancel", job_id=job_id))[1]

    async def export(self, question: Mapping[str, Any]) -> tuple[Mapping[str, Any], bytes]:
        """Return a page of events: the headers through, head, events, and lines of JSON."""
        return await self._ask("log.export", **question)

    async def parked(self) -> bytes:
        """Return what is parked, the oldest first, as JSON."""
        return (await self._ask("parked.list"))[1]

    async def parked_message(self, id_: str) -> bytes:
        """Return a parked message with all that it says, as JSON."""
        return (await self._ask("parked.show", id=id_))[1]

    async def retry_parked(self, id_: str, actor: str) -> bytes:
        """Have a parked message judged again; return what came of it as JSON."""
        return (await self._ask("parked.retry", id=id_, actor=actor))[1]

    async def drop_parked(self, id_: str, actor: str, because: str) -> bytes:
        """Throw a parked message away; return what it was as JSON."""
        return (await self._ask("parked.drop", id=id_, actor=actor, because=because))[1]

    async def _ask(self, operation: str, **question: Any) -> tuple[Mapping[str, Any], bytes]:
        headers, body = await self._bus.ask(
            wire.EXCHANGE_JOURNAL,
            wire.QUEUE_JOURNAL,
            orjson.dumps({"op": operation, **question}),
            timeout_s=TIMEOUT_S,
        )
        if "error" not in headers:
            return headers, body
        field, _, detail = str(headers["error"]).partition(": ")
        code = Unavailable.code if headers.get("busy") else str(headers.get("code"))
        kind = _CLASSES.get(code, Refused)
        raise kind(detail or field, **({"field": field} if kind is Refused else {}))
