"""Jobs on the log: done by processes of their own, followed, cancelled, taken over, one of a kind."""

import asyncio
import os
import signal
from contextlib import suppress

import orjson
import psutil
import pytest

from services.chassis import bus as rabbit
from services.chassis import wire
from services.chassis.clock import SystemClock
from services.chassis.database import connect_pool
from services.journal.adapters.postgres import PostgresLog
from services.journal.adapters.postgres_board import PostgresBoard
from services.journal.adapters.workers import worker
from services.journal.handlers import Journal
from services.journal.jobs import Jobs, work
from services.journal.service import kinds
from tests.old_log import made, put

CLOCK = SystemClock()


@pytest.fixture(scope="module")
async def pool(database):
    owner = await connect_pool(database.owner_url(), service="test", min_size=1, max_size=2)
    await put(owner, await made([20, 10, 1], facts=40, samples=40))
    await owner.close()
    pool = await connect_pool(database.url("journal"), service="journal", min_size=2, max_size=8)
    yield pool
    await pool.close()


@pytest.fixture
def backups(tmp_path, monkeypatch, database, broker):
    """What a worker's settings are, as the journal's own environment would have them."""
    monkeypatch.setenv("QM_DATABASE_URL", database.url("journal"))
    monkeypatch.setenv("QM_AMQP_URL", broker.url("journal"))
    monkeypatch.setenv("QM_BACKUP_DIR", str(tmp_path))
    return tmp_path


class Asker:
    """Asks the journal as the gateway does."""

    def __init__(self, bus) -> None:
        self._bus = bus

    async def __call__(self, op: str, **question):
        body = orjson.dumps({"op": op, **question})
        headers, body = await self._bus.ask(wire.EXCHANGE_JOURNAL, wire.QUEUE_JOURNAL, body)
        return headers.get("error") or orjson.loads(body)

    async def start(self, kind: str, **parameters):
        return await self("job.start", kind=kind, parameters=parameters, actor="ada")

    async def ended(self, job):
        async with asyncio.timeout(60):
            while job["state"] in ("waiting", "running"):
                await asyncio.sleep(0.05)
                job = await self("job.show", job_id=job["job_id"])
        return job


@pytest.fixture
async def ask(pool, broker, backups):
    bus = await rabbit.connect("journal", broker.url("journal"))
    jobs = Jobs(PostgresBoard(pool), worker)
    running = asyncio.create_task(Journal(bus, PostgresLog(pool), CLOCK, jobs_=jobs).run())
    asking = await rabbit.connect("gateway", broker.url("gateway"))
    yield Asker(asking)
    running.cancel()
    with suppress(asyncio.CancelledError):
        await running
    for each in (bus, asking):
        await each.close()


async def test_verification_is_a_job_with_a_report(ask):
    job = await ask.ended(await ask.start("verify"))
    assert (job["state"], job["problem"]) == ("done", None)
    assert (job["result"]["ok"], job["result"]["checked"]) == (True, 240)
    assert job["progress"] == {"done": 240, "total": 240, "what": "events"}


async def test_stats_count_what_is_there(ask):
    counted = (await ask.ended(await ask.start("stats")))["result"]
    assert (counted["head"], counted["events"], counted["cursor_lag"]) == (240, 240, 0)
    assert counted["by_retention"]["telemetry"]["events"] == 120
    assert counted["by_family"]["environment"]["events"] == 120
    assert counted["by_type"]["queue.sampled"]["events"] == 120
    assert len(counted["by_day"]) == 3
    assert sum(day["bytes"] for day in counted["by_day"].values()) == counted["bytes"] > 0


async def test_the_same_job_asked_for_twice_is_one(ask, pool):
    before = len(await ask("job.list"))
    jobs = await asyncio.gather(*(ask.start("stats") for _ in range(5)))
    assert len({job["job_id"] for job in jobs}) == 1
    await ask.ended(jobs[0])
    assert len(await ask("job.list")) == before + 1


async def test_a_backup_elsewhere_waits_for_the_one_under_way(pool, ask, monkeypatch):
    board = PostgresBoard(pool)
    job = await ask.start("backup", directory="one")
    assert "is another backup" in await ask.start("backup", directory="two")
    await ask.ended(job)
    assert await board.open_job() is None


@pytest.mark.parametrize("directory", ["..", "../elsewhere", "/etc/quartermaster", "."])
async def test_a_backup_stays_below_the_journals_own_directory(ask, directory):
    job = await ask.ended(await ask.start("backup", directory=directory))
    assert job["state"] == "failed"
    assert "are written below" in job["problem"]


async def test_nonsense_is_refused_and_strangers_start_nothing(ask, broker):
    assert "kind" in await ask.start("destroy")
    assert "directory" in await ask.start("backup")
    assert "no job" in await ask("job.show", job_id="job-of-nobody")
    stranger = await rabbit.connect("scheduler", broker.url("scheduler"))
    assert "starts no jobs" in await Asker(stranger).start("verify")
    await stranger.close()


class Slow:
    """A kind of job that goes on until it is told to end."""

    def __init__(self) -> None:
        self.begun, self.ended = asyncio.Event(), asyncio.Event()

    async def __call__(self, parameters, tell):
        tell(1, 2, "halves")
        self.begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            self.ended.set()


async def test_a_job_is_cancelled_and_ends(pool, ask):
    board, slow = PostgresBoard(pool), Slow()
    jobs = Jobs(board, lambda job_id: work(board, {"verify": slow}, job_id))
    running = asyncio.create_task(jobs.run())
    job = orjson.loads(
        await jobs.answer("gateway", {"op": "job.start", "kind": "verify", "actor": "ada"})
    )
    async with asyncio.timeout(20):
        await slow.begun.wait()
        assert (await ask("job.cancel", job_id=job["job_id"]))["state"] == "running"
        await slow.ended.wait()
    assert (await ask.ended(job))["state"] == "cancelled"
    running.cancel()


async def test_a_job_whose_worker_was_killed_is_done_by_another(pool, monkeypatch):
    monkeypatch.setattr("services.journal.adapters.postgres_board.SILENT_S", 0.3)
    board, slow = PostgresBoard(pool), Slow()
    job = await board.put(_a_job("verify"))
    killed = asyncio.create_task(work(board, {"verify": slow}, job.job_id))
    await slow.begun.wait()
    killed.cancel()  # as kill -9 would: nothing is said to the board
    jobs = Jobs(board, lambda job_id: work(board, kinds(pool, None), job_id))
    running = asyncio.create_task(jobs.run())
    async with asyncio.timeout(20):
        while (ended := await board.job(job.job_id)).state == "running":
            await asyncio.sleep(0.05)
    running.cancel()
    assert (ended.state, ended.result["ok"], ended.attempts) == ("done", True, 2)


async def test_a_job_that_kills_its_workers_is_given_up(pool, monkeypatch):
    monkeypatch.setattr("services.journal.adapters.postgres_board.SILENT_S", 0.2)
    board = PostgresBoard(pool)
    job = await board.put(_a_job("stats"))
    for attempt in (1, 2, 3):
        async with asyncio.timeout(10):
            while await board.claim(job.job_id, f"worker {attempt}") is None:
                await asyncio.sleep(0.05)
    async with asyncio.timeout(10):
        while (await board.job(job.job_id)).state == "running":
            await board.open_job()
            await asyncio.sleep(0.05)
    assert "workers died" in (await board.job(job.job_id)).problem


async def test_a_worker_ends_with_the_journal_that_started_it(database, backups, pool):
    code = (
        "import asyncio; from services.journal.adapters.workers import worker;"
        "asyncio.run(worker({!r}))"
    )
    board = PostgresBoard(pool)
    job = await board.put(_a_job("verify"))
    lock = await connect_pool(database.owner_url(), service="test", min_size=1, max_size=1)
    async with lock.transaction() as tx:
        await tx.execute("lock table log.telemetry_heads in access exclusive mode")
        parent = await asyncio.create_subprocess_exec(
            os.sys.executable, "-c", code.format(job.job_id)
        )
        async with asyncio.timeout(30):
            while (await board.job(job.job_id)).state != "running":
                await asyncio.sleep(0.05)
        children = psutil.Process(parent.pid).children()
        assert len(children) == 1
        parent.send_signal(signal.SIGKILL)
        await parent.wait()
        async with asyncio.timeout(20):
            while children[0].is_running() and children[0].status() != psutil.STATUS_ZOMBIE:
                await asyncio.sleep(0.05)
    await lock.close()
    assert (await board.job(job.job_id)).state == "running"  # until another takes it over
    await board.cancel(job.job_id)


def _a_job(kind: str):
    from services.chassis.ids import new_id
    from services.journal.jobs import Job

    return Job(new_id("job"), kind, {}, "ada")
