"""The telemetry window on PostgreSQL: days dropped and sealed, and nobody who stood there is lost."""

import asyncio
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta

import pytest

from contracts.catalogue import CATALOGUE
from services.alerter.state import State as Alerter
from services.chassis.clock import LogClock, SystemClock
from services.chassis.database import connect_pool
from services.chassis.errors import QuartermasterError, Unavailable
from services.chassis.folding import Folding
from services.chassis.follower import Follower
from services.chassis.memory import MemoryBroker
from services.deployer.state import State as Deployer
from services.gateway.state import State as Gateway
from services.journal.adapters.postgres import PostgresLog
from services.journal.adapters.postgres_window import PostgresWindow
from services.journal.append import GroupAppender
from services.journal.handlers import Forgetting, Journal
from services.journal.history import HistoryQuestion, answer
from services.journal.verify import verify
from services.journal.window import forget
from services.node_monitor.state import State as NodeMonitor
from services.projector.service import project_all
from services.queue_sampler.state import State as QueueSampler
from services.scheduler.state import State as Scheduler
from tests.old_log import FACT, made, put
from tests.platform import new_database
from tests.shared.log import a_stream, command, entry

WINDOW = 30
NOW = datetime.now(UTC)


@pytest.fixture
async def database(engines):
    database = new_database(engines)
    yield database
    database.drop()


@pytest.fixture
async def owner(database):
    pool = await connect_pool(database.owner_url(), service="test", min_size=1, max_size=4)
    yield pool
    await pool.close()


@pytest.fixture
async def pool(database):
    pool = await connect_pool(database.url("journal"), service="journal", min_size=2, max_size=8)
    yield pool
    await pool.close()


@pytest.fixture
async def log(pool):
    log = PostgresLog(pool)
    await log.make_partitions()
    return log


async def forgotten(pool, log, window_days=WINDOW):
    return await forget(
        PostgresWindow(pool), NOW, window_days=window_days, published=await log.cursor()
    )


async def test_days_older_than_the_window_are_dropped_and_sealed(owner, pool, log):
    await put(owner, await made([40, 35, 10]))
    gone = await forgotten(pool, log)
    assert gone == [f"telemetry_{NOW - timedelta(days=n):%Y%m%d}" for n in (40, 35)]
    seals = await log.seals()
    assert [(s.first, s.last, s.events) for s in seals] == [(2, 8, 5), (10, 16, 5)]
    report = await verify(log)
    assert (report.ok, report.problem, report.seals) == (True, None, 2)
    assert report.head == 24 + 2
    assert (await log.read(24, 5))[0]["type"] == "log.partition_sealed"


async def test_a_day_is_kept_until_all_of_it_is_older_than_the_window(owner, pool, log):
    await put(owner, await made([WINDOW]))
    assert await forgotten(pool, log) == []
    assert len(await forgotten(pool, log, WINDOW - 1)) == 1


async def test_a_day_that_is_not_wholly_published_is_kept(owner, pool, log):
    await put(owner, await made([40]), published=False)
    assert await forgotten(pool, log) == []


async def test_a_day_without_events_leaves_nothing(owner, pool, log):
    await owner.execute("select log.make_partition($1)", (NOW - timedelta(days=50)).date())
    assert len(await forgotten(pool, log)) == 1
    assert await log.seals() == []
    assert (await log.head()).position == 0


async def test_telemetry_goes_on_after_a_clock_that_was_far_ahead_was_put_back(log):
    far_ahead = NOW + timedelta(days=30)
    await log.append([command(entry(a_stream()))], far_ahead)
    await log.make_partitions()
    for day in range(7):
        sample = entry("queue-samples/0", telemetry=True, type="queue.sampled")
        verdicts = await log.append([command(sample)], far_ahead + timedelta(days=day))
        assert verdicts[0].outcome == "appended"


async def test_two_journals_that_forget_at_once_seal_once(owner, pool, log):
    await put(owner, await made([45, 44, 43]))
    gone = await asyncio.gather(*(forgotten(pool, log) for _ in range(4)))
    assert len([name for names in gone for name in names]) == 3
    assert len(await log.seals()) == 3
    assert (await verify(log)).ok


async def test_positions_go_on_behind_what_was_dropped(owner, pool, log):
    only_telemetry_at_the_end = await made([40], facts=1, samples=9)
    await put(owner, only_telemetry_at_the_end)
    await forgotten(pool, log)
    verdict = (await log.append([command(entry(a_stream()))]))[0]
    assert verdict.positions == (12,)
    sample = entry("queue-samples/0", telemetry=True, type="queue.sampled")
    assert (await log.append([command(sample)]))[0].versions == (6,)
    assert (await verify(log)).ok


async def test_the_publishers_cursor_may_stand_in_a_dropped_day(owner, pool, log):
    await put(owner, await made([40], facts=1, samples=9))
    before = await log.cursor()
    await forgotten(pool, log)
    assert await log.cursor() == before
    report = await verify(log)
    assert (report.ok, report.rewinds) == (True, [])


async def test_history_crosses_what_was_dropped(owner, pool, log):
    await put(owner, await made([40, 35, 10]))
    await forgotten(pool, log)
    for after in range(26):
        headers, _ = await answer(log, HistoryQuestion(types=None, after=after))
        assert headers["through"] == headers["head"] == 26


async def test_appends_go_on_while_days_are_dropped(owner, pool, log):
    await put(owner, await made(range(60, 40, -1)))
    appender = GroupAppender(log, SystemClock())
    running = asyncio.create_task(appender.run())
    stop = asyncio.Event()

    async def append():
        count = 0
        while not stop.is_set():
            stream = f"queue-samples/{count % 3}"
            sample = entry(stream, telemetry=True, type="queue.sampled")
            verdicts = await appender.append([command(sample), command(entry(a_stream()))])
            assert [verdict.outcome for verdict in verdicts] == ["appended"] * 2
            count += 2
        return count

    async def drop():
        gone = []
        while len(gone) < 20:
            try:
                gone += await forgotten(pool, log)
            except Unavailable:
                continue
        return gone

    callers = [asyncio.create_task(append()) for _ in range(4)]
    async with asyncio.timeout(60):
        assert len(await drop()) == 20
    stop.set()
    assert all(await asyncio.gather(*callers))
    running.cancel()
    report = await verify(log)
    assert (report.ok, report.problem, report.seals) == (True, None, 20)


async def test_a_reader_that_does_not_let_go_sends_the_dropping_away(owner, pool, log):
    await put(owner, await made([40]))
    async with owner.transaction() as reading:
        await reading.fetch("select count(*) from log.telemetry")
        with pytest.raises(Unavailable):
            await forgotten(pool, log)
        verdict = (await log.append([command(entry(a_stream()))]))[0]
        assert verdict.outcome == "appended"
    assert await log.seals() == []
    assert len(await forgotten(pool, log)) == 1
    assert (await verify(log)).ok


async def test_no_partition_is_dropped_without_the_fact_that_seals_it(owner, pool, log):
    await put(owner, await made([40]))
    name = f"telemetry_{NOW - timedelta(days=40):%Y%m%d}"
    for sealing in (1, 4000):
        with pytest.raises(QuartermasterError, match="no fact"):
            await pool.execute("select log.drop_partition($1, 2, 8, 5, '', $2)", name, sealing)
    today = f"telemetry_{NOW:%Y%m%d}"
    with pytest.raises(QuartermasterError, match="no partition of a day that is over"):
        await pool.execute("select log.drop_partition($1, 2, 8, 5, '', 1)", today)


CLOCK = SystemClock()
SERVICES = {
    "alerter": Alerter,
    "deployer": Deployer,
    "gateway": Gateway,
    "node_monitor": NodeMonitor,
    "queue_sampler": QueueSampler,
    "scheduler": Scheduler,
}


@asynccontextmanager
async def a_journal(broker, pool, log, window_days=WINDOW):
    forgetting = Forgetting(PostgresWindow(pool), window_days)
    journal = Journal(broker.bus("journal"), log, CLOCK, forgetting=forgetting)
    running = asyncio.create_task(journal.run())
    try:
        yield
    finally:
        running.cancel()
        with suppress(asyncio.CancelledError):
            await running


@asynccontextmanager
async def a_follower(broker, service, types, apply):
    follower = Follower(broker.bus(service), service, types, CLOCK)
    folding = Folding(follower, apply, LogClock(CLOCK))
    running = asyncio.create_task(folding.run())
    try:
        yield folding
    finally:
        running.cancel()
        with suppress(asyncio.CancelledError):
            await running


async def forgotten_by(log, days):
    async with asyncio.timeout(30):
        while len(await log.seals()) < days:
            await asyncio.sleep(0.02)


async def test_every_follower_begins_again_behind_what_was_dropped(owner, pool, log):
    await put(owner, await made([40, 35, 10]))
    broker, seen = MemoryBroker(), []
    async with a_journal(broker, pool, log):
        await forgotten_by(log, 2)
        everything = frozenset(type_ for type_, _ in CATALOGUE)
        async with a_follower(broker, "query", everything, seen.append) as folding:
            await folding.reach(26)
            assert len(seen) == 26 - 10
            async with asyncio.timeout(60):
                for service, state in SERVICES.items():
                    async with a_follower(broker, service, state.TYPES, state().apply) as one:
                        await one.reach(26)
            await log.append([command(entry("environment/new", data=FACT))])
            await folding.reach(27)
    assert [event.position for event in seen][-3:] == [25, 26, 27]


async def test_the_projector_goes_on_from_a_dropped_position(database, owner, pool, log):
    await put(owner, await made([40, 10]))
    projecting = await connect_pool(database.url("projector"), service="projector", max_size=3)
    row = (await log.read(3, 1))[0]
    database.superuser_sql(
        f"update rm.checkpoints set position = 4, event_id = '{row['event_id']}'"
    )
    assert row["type"] == "queue.sampled"
    assert len(await forgotten(pool, log)) == 1
    await project_all(projecting)
    assert await owner.fetchval("select position from rm.checkpoints where name = 'rm'") == 17
    await projecting.close()


async def test_a_publisher_whose_cursor_stands_in_a_dropped_day_publishes_the_rest(
    owner, pool, log, database
):
    await put(owner, await made([40, 35, 10]))
    row = (await log.read(3, 1))[0]
    await forgotten(pool, log)
    database.superuser_sql(f"update log.cursors set position = 4, event_id = '{row['event_id']}'")
    broker = MemoryBroker()
    inbox = await broker.bus("query").follow("query")
    reached = 4
    async with a_journal(broker, pool, log), asyncio.timeout(30):
        await log.append([command(entry(a_stream()))])
        async for delivery in inbox:
            if "from" in delivery.headers:
                assert delivery.headers["from"] == reached + 1
                reached = delivery.headers["to"]
            if reached == 27:
                break
        while await log.cursor() != 27:
            await asyncio.sleep(0.02)
