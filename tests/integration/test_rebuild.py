"""Read models made anew over a real log: the same rows, while everybody reads, whatever dies."""

import asyncio
import os
import signal
import sys
from contextlib import asynccontextmanager, suppress
from dataclasses import replace

import httpx2
import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from contracts.events.control import RebuildAsked
from services.chassis import failpoints
from services.chassis.clock import SystemClock
from services.chassis.database import connect_pool
from services.projector.service import Parts, Sizes, project_all
from services.query.adapters.checkpoint import CheckpointWatch
from services.query.adapters.reader import DatabaseReader
from services.query.routes import application
from tests import fleet
from tests.platform import new_database
from tests.random_fleets import HISTORY
from tests.read_models import everything, some_history
from tests.recorded import put, recorded

SIZES = Sizes(series_length=5, grace_s=3600)


class Place:
    """A database of a test's own, its log, and who may do what in it."""

    def __init__(self, made, owner, projector):
        self.made, self.owner, self.projector = made, owner, projector
        self.log = []
        self.orders = 0

    async def record(self, said):
        events = recorded(said, after=self.log)
        if events:
            causes = [None, *self.log[-3:], *events]
            events = [
                replace(e, meta=replace(e.meta, causation_id=getattr(c, "event_id", None)))
                for e, c in zip(events, causes, strict=False)
            ] + events[len(causes) :]
            await put(self.owner, events)
            self.log += events

    async def order(self, *models):
        self.orders += 1
        id_ = f"reb-{self.orders}"
        await self.record([(f"rebuild/{id_}", RebuildAsked(rebuild_id=id_, models=models))])
        return id_

    async def build(self, id_):
        row = await self.owner.fetchrow("select * from rm.builds where build_id = $1", id_)
        return dict(row.items()) if row else None


@pytest.fixture
async def place(engines):
    made = new_database(engines)
    owner = await connect_pool(made.owner_url(), service="test", min_size=1, max_size=2)
    projector = await connect_pool(made.url("projector"), service="projector", max_size=6)
    yield Place(made, owner, projector)
    await owner.close()
    await projector.close()
    made.drop()


def at_work(place, sizes=SIZES, today=None, told=None):
    """Return the parts of a projector, and what rebuilds beside it."""
    parts = Parts(place.projector, sizes, today)

    def report(part, ok, detail):
        if told is not None:
            told.append((part, ok, detail))

    return parts, parts.rebuilder(SystemClock(), report)


async def rebuilt(place, *models, sizes=SIZES):
    """Order a rebuild, carry it out, and return what came of it."""
    parts, rebuilder = at_work(place, sizes)
    await rebuilder.begin()
    id_ = await place.order(*models)
    await parts.live.catch_up()
    await rebuilder.look()
    return await place.build(id_)


class NoBroker:
    async def wait(self, timeout_s):
        await asyncio.sleep(min(timeout_s, 0.02))


@asynccontextmanager
async def living(parts, rebuilder):
    """Let a projector live, rebuilding whatever is to be rebuilt."""
    tasks = [
        asyncio.create_task(parts.live.run(NoBroker(), SystemClock(), lambda *_: None)),
        asyncio.create_task(rebuilder.run()),
    ]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task


async def until(condition):
    async with asyncio.timeout(20):
        while not await condition():
            await asyncio.sleep(0.01)


@settings(
    max_examples=2,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(said=st.lists(HISTORY, min_size=3, max_size=3), batch=st.sampled_from((1, 7, 1000)))
async def test_what_is_rebuilt_is_what_was_folded_step_by_step(place, said, batch):
    """The log of one example is the beginning of the next one's."""
    for some in said:
        await place.record(some)
        await project_all(place.projector, batch=batch, queue_history_max_length=5)
    for rebuild_batch in (1, 7, 1000):
        id_ = await place.order()
        await project_all(place.projector, batch=batch, queue_history_max_length=5)
        before = await everything(place.owner)
        sizes = Sizes(batch=batch, build_batch=rebuild_batch, series_length=5)
        parts, rebuilder = at_work(place, sizes)
        await parts.live.catch_up()
        await rebuilder.look()
        build = await place.build(id_)
        assert (build["state"], build["differences"]) == ("done", b"[]")
        assert await everything(place.owner) == before


async def in_another_process(place, *, batch=1000, killed_at="-", seed="0"):
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "tests.rebuilding", place.made.url("projector"), str(batch), killed_at),
        env={**os.environ, "PYTHONHASHSEED": seed},
    )
    return await asyncio.wait_for(process.wait(), 30)


async def a_projected_history(place):
    await place.record([(each.stream, _event_of(each)) for each in some_history()])
    await project_all(place.projector, queue_history_max_length=5)


def _event_of(recorded_event):
    from contracts.catalogue import CATALOGUE

    entry = CATALOGUE[recorded_event.type, recorded_event.schema_version]
    return entry.event.model_validate(recorded_event.data)


async def test_no_order_of_hashes_changes_a_row(place):
    await a_projected_history(place)
    for seed, batch in (("0", 1), ("1", 7), ("777", 1000)):
        id_ = await place.order()
        await project_all(place.projector, queue_history_max_length=5)
        before = await everything(place.owner)
        assert await in_another_process(place, batch=batch, seed=seed) == 0
        assert (await place.build(id_))["differences"] == b"[]"
        assert await everything(place.owner) == before


@pytest.mark.parametrize("where", [failpoints.REBUILD_FILLED, failpoints.REBUILD_COMPARED])
async def test_a_rebuild_that_is_killed_goes_on_where_it_was(place, where):
    await a_projected_history(place)
    id_ = await place.order()
    await project_all(place.projector, queue_history_max_length=5)
    before = await everything(place.owner)
    assert await in_another_process(place, killed_at=where) == -signal.SIGKILL
    killed = await place.build(id_)
    assert killed["finished_at"] is None
    assert await everything(place.owner) == before
    _, rebuilder = at_work(place)
    await rebuilder.look()
    build = await place.build(id_)
    assert (build["build"], build["state"], build["differences"]) == (
        killed["build"],
        "done",
        b"[]",
    )
    assert await everything(place.owner) == before


async def test_reads_never_stop_and_never_go_back_while_it_is_rebuilt(place):
    await a_projected_history(place)
    parts, rebuilder = at_work(place)
    await rebuilder.begin()
    seen, stop = [], asyncio.Event()
    reader = await connect_pool(place.made.url("query"), service="query", max_size=1)

    async def read():
        while not stop.is_set():
            row = await reader.fetchrow(
                "select (select position from rm.checkpoints) as position,"
                " (select count(*) from rm.gpu_status) as gpus,"
                " (select count(*) from rm.gpus_at(9000)) as gpus_then,"
                " (select count(*) from rm.environments) as environments"
            )
            seen.append(tuple(row.values()))

    reading = asyncio.create_task(read())
    number = 0
    async with living(parts, rebuilder):
        for _ in range(2):
            id_ = await place.order()
            while (build := await place.build(id_)) is None or build["state"] != "done":
                number += 1
                await place.record([fleet.an_environment(f"e{number}")])
            assert build["differences"] == b"[]"
    stop.set()
    await reading
    await reader.close()
    positions = [position for position, *_ in seen]
    assert positions == sorted(positions)
    assert {(gpus, then) for _, gpus, then, _ in seen} == {(2, 2)}
    environments = [count for *_, count in seen]
    assert environments == sorted(environments)
    assert len(set(environments)) > 2


async def test_a_swap_waits_for_a_reader_but_nobody_waits_for_the_swap(place):
    await a_projected_history(place)
    parts, rebuilder = at_work(place)
    await rebuilder.begin()
    reader = await connect_pool(place.made.url("query"), service="query", max_size=2)
    async with reader.transaction() as tx:
        assert await tx.fetchval("select count(*) from rm.gpus") == 2
        async with living(parts, rebuilder):
            id_ = await place.order("gpus")

            async def is_swapping():
                return ((await place.build(id_)) or {}).get("state") == "swapping"

            await until(is_swapping)
            await place.record([fleet.an_environment("late")])

            async def is_projected():
                return await reader.fetchval("select 1 from rm.environments where key = 'late'")

            await until(is_projected)
            assert await reader.fetchval("select count(*) from rm.gpus") == 2
            assert (await place.build(id_))["state"] == "swapping"
    parts, rebuilder = at_work(place)
    await rebuilder.look()
    await reader.close()
    assert (await place.build(id_))["state"] == "done"


async def test_a_changed_projection_is_rebuilt_by_itself_at_the_start(place):
    await a_projected_history(place)
    before = await everything(place.owner)
    parts, _ = at_work(place)
    parts, rebuilder = at_work(place, today={**parts.today, "gpus": "another", "names": "too"})
    await rebuilder.begin()
    async with living(parts, rebuilder):

        async def is_made():
            made = await parts.builds.made()
            return made["gpus"].fingerprint == "another" and made["names"].fingerprint == "too"

        await until(is_made)
    (build,) = await place.owner.fetch("select because, models, state from rm.builds")
    assert (build["because"], sorted(build["models"]), build["state"]) == (
        "changed",
        ["gpus", "names"],
        "done",
    )
    assert await everything(place.owner) == before


async def test_a_projection_that_changed_again_while_it_was_built_is_begun_anew(place):
    await a_projected_history(place)
    id_ = await place.order("gpus")
    await project_all(place.projector, queue_history_max_length=5)
    assert await in_another_process(place, killed_at=failpoints.REBUILD_FILLED) == -signal.SIGKILL
    parts, _ = at_work(place)
    parts, rebuilder = at_work(place, today={**parts.today, "gpus": "another"})
    await rebuilder.begin()
    async with living(parts, rebuilder):

        async def is_made():
            return (await parts.builds.made())["gpus"].fingerprint == "another"

        await until(is_made)
    assert "changed again" in (await place.build(id_))["problem"]
    left = "select count(*) from pg_class where relname = 'gpus__1' and relkind = 'r'"
    assert await place.owner.fetchval(left) == 0


async def test_after_a_rewind_everything_is_made_anew_once_that_is_asked(place):
    await a_projected_history(place)
    place.made.superuser_sql(
        "set session_replication_role = replica; delete from log.facts where position > 40;"
        " delete from log.telemetry where position > 40"
    )
    place.log = [event for event in place.log if event.position <= 40]
    other = [fleet.an_environment(f"other-{number}") for number in range(5)]
    await place.record(other)
    told = []
    parts, rebuilder = at_work(place, told=told)
    await rebuilder.begin()
    async with living(parts, rebuilder):
        await until(lambda: _is(parts.live.rewound is not None))
        assert await place.owner.fetchval("select count(*) from rm.builds") == 0
        id_ = await place.order("gpus")
        await until(
            lambda: _is(parts.live.rewound is None and parts.live.position == len(place.log))
        )
        await place.record([fleet.an_environment("later")])
        await until(lambda: _is(parts.live.position == len(place.log)))
    build = await place.build(id_)
    assert (build["because"], build["state"]) == ("rewound", "done")
    assert len(build["models"]) == len(parts.today)
    anew = await everything(place.owner)
    assert anew[1][0] == len(place.log)
    again = await rebuilt(place)
    assert again["differences"] == b"[]"


async def _is(true):
    return true


async def test_rows_that_went_wrong_are_mended_told_and_kept_as_evidence(place):
    await a_projected_history(place)
    whole = await everything(place.owner)
    await place.owner.execute(
        "update rm.gpus set row = row || '{\"index\": 7}' where key like '%0'"
    )
    await place.owner.execute("delete from rm.decisions where position < 20")
    told = []
    parts, rebuilder = at_work(place, told=told)
    id_ = await place.order()
    await parts.live.catch_up()
    await rebuilder.look()
    build = await place.build(id_)
    differences = {each["table"]: each for each in orjson.loads(build["differences"])}
    assert differences["gpus"]["keys"] == ["GPU-n1-0"]
    assert differences.keys() == {"gpus", "decisions"}
    assert [(part, ok) for part, ok, _ in told] == [("rebuild", False)]
    mended = await everything(place.owner)
    assert mended[0]["gpus"] == whole[0]["gpus"]
    assert mended[0]["decisions"] == whole[0]["decisions"]
    await place.owner.execute("update rm.replaced set replaced_at = replaced_at - interval '1 day'")
    _, rebuilder = at_work(place)
    await rebuilder.look()
    kept = await place.owner.fetch("select name from rm.replaced")
    assert sorted(row["name"] for row in kept) == ["decisions__0", "gpus__0", "gpus_history__0"]


async def test_what_only_dropped_telemetry_could_tell_is_taken_over(place):
    story = [fleet.an_environment(), fleet.a_model(), fleet.a_node()]
    await place.record([*story, fleet.reported("n1"), *(fleet.sampled(length=n) for n in range(4))])
    await project_all(place.projector, queue_history_max_length=5)
    day = place.log[0].recorded_at.strftime("telemetry_%Y%m%d")
    await place.owner.execute(f"drop table log.{day}")
    await place.owner.execute(
        "insert into log.seals (partition, first_position, last_position, events, last_hash,"
        f" sealed_by) values ('{day}', 4, 8, 5, '', 9)"
    )
    await place.record([fleet.an_environment("e2")])
    build = await rebuilt(place)
    assert (build["state"], build["differences"]) == ("done", b"[]")
    assert await place.owner.fetchval("select count(*) from rm.node_reports") == 1
    assert await place.owner.fetchval("select count(*) from rm.queue_history") == 4


async def test_an_order_that_another_build_has_met_and_one_of_nothing_known_are_answered(place):
    await a_projected_history(place)
    parts, rebuilder = at_work(place)
    await rebuilder.begin()
    first, second = await place.order("gpus"), await place.order("gpus")
    strange = await place.order("no_such_model")
    await parts.live.catch_up()
    await rebuilder.look()
    states = [(await place.build(id_))["state"] for id_ in (first, second, strange)]
    assert states == ["done", "done", "failed"]
    assert (await place.build(second))["target"] == 0
    assert "there is no read model no_such_model" in (await place.build(strange))["problem"]


async def test_a_built_table_has_every_index_and_right_of_the_one_it_replaces(place):
    await a_projected_history(place)

    async def shape():
        indexes = await place.owner.fetch(
            "select t.relname, regexp_replace(pg_get_indexdef(i.indexrelid), 'INDEX \\S+ ON', '')"
            " from pg_index i join pg_class t on t.oid = i.indrelid"
            " where t.relnamespace = 'rm'::regnamespace and t.relname not like '%\\_\\_%'"
            " order by 1, 2"
        )
        rights = await place.owner.fetch(
            "select relname, relkind::text, array(select acl::text from unnest(relacl) acl order by 1)"
            " from pg_class where relnamespace = 'rm'::regnamespace"
            " and relkind in ('r', 'v') and relname not like '%\\_\\_%' order by 1"
        )
        return [tuple(row.values()) for row in indexes], [tuple(row.values()) for row in rights]

    before = await shape()
    assert any("INCLUDE (length)" in index for _, index in before[0])
    assert (await rebuilt(place))["state"] == "done"
    assert await shape() == before


async def test_readers_are_told_how_far_a_rebuild_is_and_what_came_of_it(place):
    await a_projected_history(place)
    parts, rebuilder = at_work(place)
    await rebuilder.begin()
    id_ = await place.order("gpus")
    reader = await connect_pool(place.made.url("query"), service="query", max_size=1)
    app = application(DatabaseReader(reader, CheckpointWatch(reader, wait_s=0.3)))
    transport = httpx2.ASGITransport(app)
    async with httpx2.AsyncClient(transport=transport, base_url="http://query") as client:

        async def told():
            return (await client.get(f"/rebuilds/{id_}")).json()

        waiting = await told()
        assert (waiting["state"], waiting["models"]) == ("waiting", ["gpus"])
        assert (waiting["position"], waiting["target"]) == (0, len(place.log))
        await parts.live.catch_up()
        assert (await client.get("/rebuilds")).json()["items"] == [await told()]
        seen = []

        async def look():
            seen.append(await told())

        with failpoints.armed(failpoints.REBUILD_COMPARED, look):
            await rebuilder.look()
        assert (seen[0]["state"], seen[0]["finished_at"]) == ("swapping", None)
        done = await told()
        assert (done["state"], done["actor"], done["differences"]) == ("done", "ada", [])
        assert (done["position"], done["target"]) == (len(place.log), len(place.log))
        assert (await client.get("/rebuilds")).json()["items"] == [done]
        assert (await client.get("/rebuilds/no-such")).status_code == 404
        assert (await client.get("/rebuilds?as_of=3")).status_code == 422
    await reader.close()
