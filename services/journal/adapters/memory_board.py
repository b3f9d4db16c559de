"""The board of jobs in memory: one process, whose workers live as long as it does."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from services.journal.jobs import ENDED, Job, Jobs, work
from services.journal.verify import verify

if TYPE_CHECKING:
    from collections.abc import Mapping

    from services.journal.adapters.memory import MemoryLog
    from services.journal.jobs import Ended
    from services.journal.records import Tell


def jobs_in_memory(log: MemoryLog) -> Jobs:
    """Return jobs on a log in memory, done in this process."""
    board = MemoryBoard()

    async def verifying(_: Mapping[str, Any], tell: Tell) -> dict[str, Any]:
        return (await verify(log, tell)).as_dict()

    return Jobs(board, lambda job_id: work(board, {"verify": verifying}, job_id))


class MemoryBoard:
    """The port `Board` on a dictionary."""

    def __init__(self) -> None:
        self._jobs: dict[str, Job] = {}

    async def put(self, job: Job) -> Job:
        """Add a job; return the one of its kind that is there already instead."""
        for other in self._jobs.values():
            if other.kind == job.kind and other.state not in ENDED:
                return other
        self._jobs[job.job_id] = job
        return job

    async def job(self, job_id: str) -> Job | None:
        """Return a job."""
        return self._jobs.get(job_id)

    async def jobs(self) -> list[Job]:
        """Return what is kept, newest first."""
        return list(reversed(self._jobs.values()))

    async def cancel(self, job_id: str) -> None:
        """End a job that waits, ask one that runs to end."""
        job = self._jobs.get(job_id)
        if job is not None and job.state not in ENDED:
            state = "cancelled" if job.state == "waiting" else job.state
            self._jobs[job_id] = replace(job, cancel_asked=True, state=state)

    async def open_job(self) -> str | None:
        """Return a job that needs a worker."""
        waiting = (job.job_id for job in self._jobs.values() if job.state == "waiting")
        return next(waiting, None)

    async def claim(self, job_id: str, _worker: str) -> Job | None:
        """Take a job that needs a worker; None when another was first."""
        job = self._jobs[job_id]
        if job.state != "waiting":
            return None
        self._jobs[job_id] = replace(job, state="running", attempts=1)
        return self._jobs[job_id]

    async def beat(self, job_id: str, _worker: str, progress: Mapping[str, Any]) -> bool | None:
        """Say how far the job is; return whether it shall end."""
        self._jobs[job_id] = replace(self._jobs[job_id], progress=dict(progress))
        return self._jobs[job_id].cancel_asked

    async def finish(self, job_id: str, _worker: str, ended: Ended) -> None:
        """Say what became of the job."""
        job = self._jobs[job_id]
        self._jobs[job_id] = replace(
            job, state=ended.state, result=ended.result, problem=ended.problem
        )
