"""As of any position, every read answers what it answered when that was the newest one."""

from __future__ import annotations

from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta

import httpx2
import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contracts.events.node import NodeHeartbeat
from services.chassis.database import connect_pool
from services.projector.projections import PROJECTIONS, TYPES
from services.projector.service import project_all
from services.query.adapters.checkpoint import CheckpointWatch
from services.query.adapters.reader import DatabaseReader
from services.query.routes import application
from tests import fleet
from tests.platform import new_database
from tests.random_events import random_logs
from tests.recorded import put, recorded
from tests.unit.projector.tables import projected

KEPT = 3  # samples of a queue, so that the past is in the log and not in the read model
# Every read, with what narrows it down; the subjects are those of random histories.
READS = (
    *("/environments", "/environments/x", "/models", "/models/a", "/nodes", "/nodes/n1", "/gpus"),
    *("/gpus/g1", "/instances", "/instances/i1", "/queues", "/queues/a", "/queues/a/history"),
    *("/deployments/status", "/strategies", "/strategies/s1", "/alerts", "/alerts/x", "/webhooks"),
    *("/webhooks/w1", "/decisions", "/names/model/a", "/asks/x", "/events"),
    *("/models?environment_id=x", "/nodes?environment_id=x", "/queues?environment_id=x"),
    *("/gpus?state=free", "/gpus?state=allocated&node_id=n1", "/gpus?environment_id=x"),
    *("/instances?active=true", "/instances?model_id=a", "/instances?node_id=n1&state=ready"),
    *("/instances?active=false&state=stopped", "/deployments/status?environment_id=x"),
    *("/alerts?open=true", "/decisions?order=desc", "/decisions?model_id=a&after=3"),
    *("/events?types=queue.sampled,gpu.freed", "/events?stream=queue-samples/a"),
    *("/events?stream=node/n1", "/events?after=7&stream=node-reports/n1"),
)
VERSIONED = [model.name for model in PROJECTIONS if model.versioned and model.name != "rebuilds"]
STREAMS = {
    "queue.sampled": ("queue-samples", "model_id"),
    "node.reported": ("node-reports", "node_id"),
    "node.heartbeat": ("node-reports", "node_id"),
}
BEGINNING = [
    fleet.an_environment("x"),
    fleet.a_model("a", environment_id="x"),
    fleet.a_node("n1", environment_id="x"),
    fleet.came_online("n1"),
    fleet.inventory("n1", 2),
    ("node-reports/n1", NodeHeartbeat(node_id="n1")),
    fleet.reported("n1", 2),
]
LATER = timedelta(hours=1)


class Place:
    """A log, its read models, and the query service over them."""

    def __init__(self, owner, query):
        self.owner, self.query = owner, query
        self.events = []

    async def begin(self):
        """Forget everything."""
        self.events = []
        names = "select format('%I.%I', schemaname, tablename) as name from pg_tables where"
        names += " schemaname in ('rm', 'log') and tablename not in ('versions', 'cursors')"
        tables = [row["name"] for row in await self.owner.fetch(names)]
        logs = ("log.facts", "log.telemetry", "log.seals")
        sql = [f"alter table {name} disable trigger user" for name in logs]
        sql += [f"delete from {name}" for name in tables if not name.startswith("log.telemetry_2")]
        sql += ["insert into rm.checkpoints (name, position) values ('rm', 0)"]
        await self.owner.execute(";".join(sql))

    async def grow(self, events):
        """Record these events, and fold them."""
        self.events += events
        await put(self.owner, events)
        await project_all(self.owner, queue_history_max_length=KEPT)

    @asynccontextmanager
    async def client(self, wait_s=0.3):
        reader = DatabaseReader(
            self.query, CheckpointWatch(self.query, wait_s=wait_s), samples_kept=KEPT
        )
        transport = httpx2.ASGITransport(application(reader), raise_app_exceptions=False)
        async with httpx2.AsyncClient(transport=transport, base_url="http://query") as client:
            yield client


@pytest.fixture(scope="module")
async def place(engines):
    database = new_database(engines)
    owner = await connect_pool(database.owner_url(), service="test", min_size=1, max_size=2)
    query = await connect_pool(database.url("query"), service="query", max_size=2)
    yield Place(owner, query)
    await query.close()
    await owner.close()
    database.drop()


@pytest.fixture(scope="module")
async def told(place):
    """A story that several tests look back on."""
    await place.begin()
    more = [
        *(fleet.an_environment(f"e{number}") for number in range(5)),
        *(fleet.sampled("a", length) for length in range(10)),
        fleet.quarantined("GPU-n1-0"),
        fleet.a_node("n2"),
    ]
    await place.grow(recorded([*BEGINNING, *more]))
    async with place.client() as client:
        yield client, place.events


@st.composite
def histories(draw):
    """Return a small fleet's beginning and whatever comes after, each event in its own stream."""
    events = recorded(BEGINNING)
    after, at = len(events), events[-1].recorded_at
    for event in draw(random_logs(TYPES, max_size=30)):
        position = after + event.position
        versioned = {"position": position, "version": position, "event_id": _id(position)}
        if event.type in STREAMS:
            kind, field = STREAMS[event.type]
            versioned["stream"] = f"{kind}/{event.data[field]}"
        elif event.type == "node.deleted":
            versioned["stream"] = f"node/{event.data['node_id']}"
        moved = at + LATER + (event.recorded_at - at.replace(hour=0, minute=0, second=0))
        events.append(replace(event, recorded_at=moved, **versioned))
    return events


def _id(position):
    return f"00000000-0000-7000-8000-{position:012d}"


@settings(max_examples=6, deadline=None)
@given(histories(), st.data())
async def test_every_read_as_of_a_position_is_the_read_made_then(place, events, data):
    cut = data.draw(st.integers(1, len(events)))
    await place.begin()
    await place.grow(events[:cut])
    async with place.client() as client:
        then = await everything(client)
    if cut < len(events):
        await place.grow(events[cut:])
    async with place.client() as client:
        assert await everything(client, as_of=cut) == then
    await rows_are_the_fold_of_the_prefix(place)


async def everything(client, **params):
    """Return what each read answers; a list says as of when it is, which is left out."""
    found = {}
    for path in READS:
        bare, _, narrow = path.partition("?")
        asked = dict(pair.split("=") for pair in narrow.split("&") if pair) | params
        answer = await client.get(bare, params={"limit": 200} | asked if is_list(bare) else asked)
        content = answer.json()
        if answer.status_code == 404:
            content = None
        elif "as_of" in params:
            told = orjson.loads(answer.headers["qm-as-of"])
            assert told["position"] == int(answer.headers["qm-position"]) == params["as_of"]
            assert content.pop("as_of", told) == told
        found[path] = answer.status_code, content
    return found


def is_list(path):
    return path.count("/") == 1 or path in ("/deployments/status", "/queues/a/history")


async def rows_are_the_fold_of_the_prefix(place):
    """Compare the rows at many positions with those that pure folding makes of the events."""
    sql = " union all ".join(
        f"select '{name}' as model, key, position, row from rm.{name}_at($1)" for name in VERSIONED
    )
    for cut in range(1, len(place.events) + 1, 5):
        rows = await place.query.fetch(sql, cut)
        found = {(r["model"], r["key"]): (r["position"], orjson.loads(r["row"])) for r in rows}
        assert len(found) == len(rows)
        tables = await projected(place.events[:cut])
        assert found == {
            (name, key): (position, orjson.loads(raw))
            for name in VERSIONED
            for key, (position, raw) in tables.now[name].items()
        }


async def asked(client, path, status=200, **params):
    answer = await client.get(path, params=params)
    assert answer.status_code == status, answer.text
    return answer.json()


async def refused(client, path, **params):
    """Return why as_of was refused."""
    [error] = (await asked(client, path, 422, **params))["errors"]
    assert error["field"] == "as_of"
    return error["message"]


async def test_a_moment_means_the_last_position_recorded_by_then(told):
    client, events = told
    for event in (events[0], events[8], events[-1]):
        for at in (event.recorded_at, event.recorded_at + timedelta(seconds=0.5)):
            status = await asked(client, "/status", as_of=at.isoformat())
            assert status["head"] == event.position
    naive = events[8].recorded_at.replace(tzinfo=None).isoformat()
    assert (await asked(client, "/status", as_of=naive))["head"] == events[8].position


@pytest.mark.parametrize("path", [read for read in READS if "?" not in read] + ["/status"])
async def test_every_read_refuses_the_future_and_what_was_before_the_beginning(told, path):
    client, events = told
    newest = f"the newest position is {len(events)}"
    for beyond in (len(events) + 1, 2**70, "2999-01-01T00:00:00Z"):
        message = await refused(client, path, as_of=beyond)
        assert "is in the future" in message
        assert newest in message
    early = events[0].recorded_at - timedelta(microseconds=1)
    for before in (0, early.isoformat()):
        assert "is before the log's beginning" in await refused(client, path, as_of=before)


async def test_pages_of_the_past_stay_where_they_began(told):
    client, events = told
    moment = events[11].recorded_at.isoformat()
    whole = (await asked(client, "/environments", as_of=moment))["items"]
    assert [each["environment_id"] for each in whole] == ["e0", "e1", "e2", "e3", "e4", "x"]
    for wanted in ({"as_of": moment}, {"as_of": 12}):
        pages, more = [], wanted
        while True:
            page = await asked(client, "/environments", limit=4, **more)
            pages += page["items"]
            assert page["as_of"]["position"] == page["position"] == 12
            if page["next_cursor"] is None:
                break
            more = {"cursor": page["next_cursor"]}
        assert pages == whole


async def test_a_cursor_goes_with_the_moment_it_was_given_for(told):
    client, _ = told
    past = (await asked(client, "/environments", as_of=12, limit=1))["next_cursor"]
    live = (await asked(client, "/environments", limit=1))["next_cursor"]
    for cursor, as_of in ((past, 13), (live, 12)):
        problem = await asked(client, "/environments", 422, cursor=cursor, as_of=as_of)
        assert [error["field"] for error in problem["errors"]] == ["cursor"]
    await asked(client, "/environments", cursor=past, as_of=12)


async def test_a_least_position_after_the_moment_asked_for_is_refused(told):
    client, events = told
    assert "min_position 9" in await refused(client, "/nodes", as_of=8, min_position=9)
    await asked(client, "/nodes", as_of=9, min_position=9)
    cursor = (await asked(client, "/environments", as_of=12, limit=1))["next_cursor"]
    await asked(client, "/environments", cursor=cursor, min_position=len(events))


async def test_the_past_may_be_kept_and_the_present_must_be_asked_for_again(told):
    client, events = told
    past = await client.get("/models/a", params={"as_of": 9})
    assert "immutable" in past.headers["cache-control"]
    again = await client.get(
        "/models/a", params={"as_of": 9}, headers={"if-none-match": past.headers["etag"]}
    )
    assert (again.status_code, again.headers["qm-as-of"]) == (304, past.headers["qm-as-of"])
    newest = events[-1].recorded_at + timedelta(seconds=1)
    live = await client.get("/models/a", params={"as_of": newest.isoformat()})
    assert live.headers["cache-control"] == "no-cache"


async def test_a_read_of_what_is_not_folded_yet_waits_for_it(place):
    await place.begin()
    await place.grow(recorded(BEGINNING))
    late = recorded([fleet.an_environment("late")], after=place.events)
    await put(place.owner, late)
    async with place.client(wait_s=0.05) as client:
        await asked(client, "/environments/late", 503, as_of=late[0].position)
        await place.grow([])
        await asked(client, "/environments/late", as_of=late[0].position)


async def test_what_telemetry_said_is_missing_and_said_to_be_once_it_is_dropped(place):
    await place.begin()
    early = recorded([*BEGINNING, fleet.sampled("a", 7), fleet.an_environment("then")])
    count = len(early)
    newer = recorded(
        [*(fleet.sampled("a", number) for number in range(KEPT)), fleet.reported("n1", 2)],
        after=early,
        start=early[0].recorded_at + timedelta(days=1),
    )
    await place.grow([*early, *newer])
    async with place.client() as client:
        kept = await client.get("/queues/a/history", params={"as_of": count})
        assert [each["length"] for each in kept.json()["items"]] == [7]
        assert kept.json()["as_of"]["telemetry"] == "kept"

        await drop_day(place.owner, early)
        gone = (await client.get("/queues/a/history", params={"as_of": count})).json()
        assert (gone["items"], gone["as_of"]["telemetry"]) == ([], "dropped")
        node = await client.get("/nodes/n1", params={"as_of": count})
        assert (node.json()["status"], node.json()["answer_ms"]) == ("online", None)
        assert b'"telemetry":"dropped"' in node.headers["qm-as-of"].encode()
        facts = (await asked(client, "/environments", as_of=count))["items"]
        assert [each["environment_id"] for each in facts] == ["then", "x"]
        now = (await asked(client, "/queues/a/history", as_of=count + KEPT))["as_of"]
        assert now["telemetry"] == "kept"


async def drop_day(owner, events):
    """Drop the day of these events as the window does."""
    day = events[0].recorded_at.strftime("telemetry_%Y%m%d")
    await owner.execute(f"drop table log.{day}")
    await owner.execute(
        "insert into log.seals (partition, first_position, last_position, events, last_hash,"
        " sealed_by) values ($1, 1, $2, 1, '', $3)",
        day, events[-1].position, events[-1].position + 1,
    )  # fmt: skip
