"""The projector over a real log: dense, exactly once, fenced, and the same after any crash."""

import asyncio
import os
import signal
import subprocess
import sys
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta

import pytest

from contracts.events.control import FoldSkipped
from services.chassis.clock import SystemClock
from services.chassis.database import connect_pool
from services.chassis.errors import Bug, Fenced, QuartermasterError
from services.projector.adapters.log import LogReader
from services.projector.adapters.read_models import PostgresReadModels, PostgresWriting
from services.projector.handlers import Projector, Stuck
from services.projector.projections import READ_MODELS
from services.projector.service import project_all
from services.projector.state import wanted
from tests import fleet
from tests.platform import new_database
from tests.read_models import everything, reset, some_history
from tests.recorded import START, put, recorded


@pytest.fixture
async def place(engines):
    """A database of this test's own: its owner, and the projector's role."""
    made = new_database(engines)
    owner = await connect_pool(made.owner_url(), service="test", min_size=1, max_size=2)
    projector = await connect_pool(made.url("projector"), service="projector", max_size=4)
    yield made, owner, projector
    await owner.close()
    await projector.close()
    made.drop()


@pytest.fixture
def owner(place):
    return place[1]


@pytest.fixture
def database(place):
    return place[2]


def a_projector(database, **changes):
    models = PostgresReadModels(database, series_length=1000)
    return Projector(
        LogReader(database, wanted(READ_MODELS), service="projector"), models, **changes
    )


async def test_batches_of_one_seven_and_a_thousand_leave_the_same_tables(owner, database):
    await put(owner, some_history())
    tables = []
    for batch in (1, 7, 1000):
        await reset(owner)
        await project_all(database, batch=batch)
        tables.append(await everything(owner))
    assert tables[0] == tables[1] == tables[2]
    assert tables[0][0]["gpus_history"]


async def test_rows_and_checkpoint_move_together_or_not_at_all(owner, database, monkeypatch):
    await put(owner, some_history())
    projector = a_projector(database, batch=20)
    await projector.step()
    before = await everything(owner)

    async def power_cut(self, series, entries):
        raise Bug("the power is gone")

    with monkeypatch.context() as patched:
        patched.setattr(PostgresWriting, "append", power_cut)
        with pytest.raises(Bug, match="power"):
            await projector.step()
    assert await everything(owner) == before
    assert await projector.catch_up() == len(some_history()) - 20


KILLED = """
import asyncio, sys
from services.chassis.database import connect_pool
from services.projector.service import project_all

async def main():
    database = await connect_pool(sys.argv[1], service="projector", max_size=3)
    sys.stdout.write("ready\\n"); sys.stdout.flush()
    await project_all(database, batch=1)

asyncio.run(main())
"""


async def test_a_projector_killed_over_and_over_ends_with_what_one_go_makes(place):
    made, owner, database = place
    await put(owner, some_history())
    await project_all(database)
    in_one_go = await everything(owner)
    await reset(owner)
    for aim in (20, 50, 90):
        await kill_at(made.url("projector"), owner, aim)
        assert await owner.fetchval("select position from rm.checkpoints") < in_one_go[1][0]
    await project_all(database)
    assert await everything(owner) == in_one_go


async def kill_at(url, owner, aim):
    """Start a projector and kill it once it has reached a position."""
    process = subprocess.Popen([sys.executable, "-c", KILLED, url], stdout=subprocess.PIPE)
    try:
        await asyncio.to_thread(process.stdout.readline)
        async with asyncio.timeout(30):
            while await owner.fetchval("select position from rm.checkpoints") < aim:
                await asyncio.sleep(0)
    finally:
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        process.stdout.close()


async def test_of_two_projectors_at_once_one_is_fenced_and_nothing_is_doubled(owner, database):
    await put(owner, some_history())
    first, second = a_projector(database, batch=10), a_projector(database, batch=10)
    await first.step()
    await second.step()
    with pytest.raises(Fenced):
        await first.step()
    await second.catch_up()
    once = await everything(owner)
    await reset(owner)
    await project_all(database)
    assert await everything(owner) == once


async def test_only_one_process_projects_while_the_others_stand_by(database):
    models = PostgresReadModels(database, series_length=1000)
    entered = asyncio.Event()

    async def stand_by():
        async with models.alone():
            entered.set()

    async with models.alone():
        waiting = asyncio.create_task(stand_by())
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(entered.wait(), 0.7)
    await asyncio.wait_for(waiting, 10)


async def test_a_hole_in_the_log_stops_the_projector(owner, database):
    events = some_history()
    await put(owner, [event for event in events if event.position not in (5, 6)])
    with pytest.raises(Bug, match="positions 5 to 6 are missing"):
        await project_all(database)


async def seal(owner, partition, position):
    """Note that the telemetry at a position was dropped."""
    await owner.execute(
        "insert into log.seals (partition, first_position, last_position, events, last_hash,"
        " sealed_by) values ($1, $2::bigint, $2::bigint, 1, '', $2::bigint + 1000)",
        partition,
        position,
    )


async def test_a_hole_that_seals_cover_is_passed(owner, database):
    events = some_history()
    await put(owner, [event for event in events if event.position not in (6, 7)])
    await seal(owner, "p1", 6)
    await seal(owner, "p2", 7)
    assert await project_all(database) == len(events) - 2
    assert (await everything(owner))[1][0] == len(events)


async def test_a_checkpoint_on_telemetry_that_was_dropped_goes_on(owner, database):
    events = some_history()[:6]
    assert events[-1].type == "node.reported"
    await put(owner, events)
    await project_all(database)
    partition = events[-1].recorded_at.strftime("telemetry_%Y%m%d")
    await owner.execute(f"drop table log.{partition}")
    await seal(owner, partition, 6)
    await put(owner, recorded([fleet.a_node("n2")], after=events))
    assert await project_all(database) == 1


async def test_a_log_restored_to_an_earlier_point_stops_the_projector(place):
    made, owner, database = place
    await put(owner, some_history()[:4])
    await project_all(database)
    made.superuser_sql(
        "set session_replication_role = replica; delete from log.facts where position = 4"
    )
    with pytest.raises(Bug, match="restored to an earlier point"):
        await project_all(database)
    other = replace(some_history()[3], event_id="00000000-0000-7000-8000-00000000beef")
    await put(owner, [other])
    with pytest.raises(Bug, match=r"position 4 was event .* rebuild"):
        await project_all(database)


async def test_an_indigestible_event_waits_for_its_recorded_skip(owner, database):
    events = recorded([fleet.an_environment(), fleet.a_model(), fleet.a_node()])
    del events[1].data["queue"]
    await put(owner, events)
    projector = a_projector(database)
    with pytest.raises(Stuck):
        await projector.catch_up()
    assert (await everything(owner))[1][0] == 1

    def skip(service):
        event_id = events[1].event_id
        said = FoldSkipped(service=service, position=2, event_id=event_id, why="no queue")
        return "fold/skips", said

    more = recorded([skip("scheduler")], after=events)
    await put(owner, more)
    with pytest.raises(Stuck):
        await projector.catch_up()
    await put(owner, recorded([skip("projector")], after=[*events, *more]))
    await projector.catch_up()
    assert (await everything(owner))[1][0] == 5
    assert await owner.fetchval("select count(*) from rm.models") == 0


async def test_queue_history_keeps_the_newest_samples_of_each_model(owner, database):
    story = [fleet.sampled(model, length) for length in range(30) for model in ("a", "b")]
    await put(owner, recorded([*story, fleet.sampled("c")]))
    await project_all(database, batch=7, queue_history_max_length=10)
    sql = "select key, array_agg(length order by position) from rm.queue_history group by key"
    kept = {row["key"]: row["array_agg"] for row in await owner.fetch(sql)}
    assert kept == {"a": list(range(20, 30)), "b": list(range(20, 30)), "c": [10]}


async def test_text_that_jsonb_cannot_hold_does_not_stop_the_projector(owner, database):
    said = fleet.a_node(capabilities={"note\0": "a\0b", "path": "C:\\u0000"})
    await put(owner, recorded([said]))
    await project_all(database)
    kept = await owner.fetchval("select row->>'capabilities' from rm.nodes")
    assert "a\ufffdb" in kept
    assert "C:\\\\u0000" in kept


async def test_events_recorded_later_are_projected_without_any_hint(owner, database):
    class NoBroker:
        async def wait(self, timeout_s):
            await asyncio.sleep(min(timeout_s, 0.05))

    said = {}

    def report(part, ok, detail):
        said[part] = (ok, detail)

    task = asyncio.create_task(a_projector(database).run(NoBroker(), SystemClock(), report))
    events = some_history()
    await put(owner, events[:10])
    await until(lambda: said.get("projection") == (True, "at 10"))
    await put(owner, events[10:20])
    await until(lambda: said.get("projection") == (True, "at 20"))
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task


async def until(condition):
    async with asyncio.timeout(20):
        while not condition():
            await asyncio.sleep(0.01)


async def test_telemetry_of_another_day_is_in_order_with_the_facts(owner, database):
    events = recorded(
        [fleet.sampled(length=n) if n % 2 else fleet.an_environment(f"e{n}") for n in range(20)],
        start=START + timedelta(hours=11, minutes=59, seconds=50),
    )
    await put(owner, events)
    assert await project_all(database, batch=3) == 20


async def test_the_projectors_role_may_not_touch_the_log(database):
    with pytest.raises(QuartermasterError, match="permission denied"):
        await database.execute("delete from log.facts")
