"""The board of jobs in PostgreSQL."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson

from services.chassis.database import Queries
from services.journal.jobs import ATTEMPTS, KEPT, SILENT_S, Job

if TYPE_CHECKING:
    from collections.abc import Mapping

    from services.chassis.database import Database
    from services.journal.jobs import Ended

QUERIES = Queries(Path(__file__).parents[1] / "jobs.sql")


class PostgresBoard:
    """The port `Board` on one table."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def put(self, job: Job) -> Job:
        """Add a job; return the one of its kind that is there already instead."""
        await self._database.execute(QUERIES["forget"], KEPT)
        while True:
            await self._database.execute(
                QUERIES["put"], job.job_id, job.kind, orjson.dumps(job.parameters), job.actor
            )
            row = await self._database.fetchrow(QUERIES["open_of_kind"], job.kind)
            if row is not None:  # else that one ended just now
                return _job(row)

    async def job(self, job_id: str) -> Job | None:
        """Return a job."""
        row = await self._database.fetchrow(QUERIES["job"], job_id)
        return None if row is None else _job(row)

    async def jobs(self) -> list[Job]:
        """Return what is kept, newest first."""
        return [_job(row) for row in await self._database.fetch(QUERIES["jobs"], KEPT)]

    async def cancel(self, job_id: str) -> None:
        """End a job that waits, ask one that runs to end."""
        await self._database.execute(QUERIES["cancel"], job_id)

    async def open_job(self) -> str | None:
        """Settle what no worker will end, and return a job that needs a worker."""
        await self._database.execute(QUERIES["settle"], SILENT_S, ATTEMPTS)
        job_id: str | None = await self._database.fetchval(QUERIES["open_job"], SILENT_S)
        return job_id

    async def claim(self, job_id: str, worker: str) -> Job | None:
        """Take a job that needs a worker; None when another was first."""
        row = await self._database.fetchrow(QUERIES["claim"], job_id, worker, SILENT_S)
        return None if row is None else _job(row)

    async def beat(self, job_id: str, worker: str, progress: Mapping[str, Any]) -> bool | None:
        """Say how far the job is; return whether it shall end, None when it is not ours."""
        is_to_end: bool | None = await self._database.fetchval(
            QUERIES["beat"], job_id, worker, orjson.dumps(progress)
        )
        return is_to_end

    async def finish(self, job_id: str, worker: str, ended: Ended) -> None:
        """Say what became of the job, if it is still ours."""
        result = None if ended.result is None else orjson.dumps(ended.result)
        await self._database.execute(
            QUERIES["finish"], job_id, worker, ended.state, result, ended.problem
        )


def _job(row: Any) -> Job:
    said = dict(row)
    for name in ("parameters", "progress", "result"):
        said[name] = None if said[name] is None else orjson.loads(said[name])
    return Job(**said)
