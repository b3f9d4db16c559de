"""What the query service answers over real read models."""

import asyncio
from base64 import urlsafe_b64encode

import httpx2
import pytest

from contracts.catalogue import TELEMETRY_TYPES
from contracts.events.control import LeaseAcquired, NameClaimed
from contracts.events.instance import InstanceStartAsked, InstanceStarted
from services.chassis.database import connect_pool
from services.projector.service import project_all
from services.query.adapters.checkpoint import CheckpointWatch
from services.query.adapters.reader import _QUERIES, DatabaseReader
from services.query.routes import application
from tests import fleet
from tests.recorded import put, recorded

LISTS = (
    "/environments",
    "/models",
    "/nodes",
    "/gpus",
    "/instances",
    "/queues",
    "/queues/llama/history",
    "/deployments/status",
    "/strategies",
    "/alerts",
    "/decisions",
    "/webhooks",
    "/events",
)

STORY = [
    fleet.an_environment(),
    fleet.an_environment("lab"),
    fleet.a_model(),
    fleet.a_model("qwen", environment_id="lab"),
    fleet.a_node(),
    fleet.came_online(),
    fleet.inventory(gpus=3),
    fleet.a_node("n2", environment_id="lab"),
    fleet.reported(gpus=3),
    fleet.floor_unmet(),
    ("ask/ask-1", InstanceStartAsked(ask_id="ask-1", model_id="llama", node_id="n1")),
    fleet.allocated("GPU-n1-0", "i-1"),
    fleet.start_requested("i-1", ask_id="ask-1"),
    fleet.of_instance(InstanceStarted, "i-1"),
    fleet.quarantined("GPU-n1-1"),
    fleet.sampled(length=999),
    *(fleet.sampled(length=length, unacknowledged=1) for length in (10, 20, 33)),
    fleet.unreachable("qwen"),
    fleet.raised("node_offline:n2"),
    (
        "name/model/Llama 3/8b",
        NameClaimed(kind="model", name="Llama 3/8b", owner="llama"),
    ),
    ("lease/scheduler", LeaseAcquired(name="scheduler", epoch=1, holder="p1")),
    *(fleet.an_environment(f"e{number}") for number in range(8)),
]


def _events():
    early = STORY.index(fleet.sampled(length=999)) + 1
    events = recorded(STORY[:early])
    return events + [event for event in recorded(STORY, step_s=30.0) if event.position > early]


EVENTS = _events()


@pytest.fixture(scope="module")
async def owner(database):
    owner = await connect_pool(database.owner_url(), service="test", min_size=1, max_size=2)
    await put(owner, EVENTS)
    await project_all(owner)
    yield owner
    await owner.close()


@pytest.fixture(scope="module")
async def pool(database, owner):
    pool = await connect_pool(database.url("query"), service="query")
    yield pool
    await pool.close()


@pytest.fixture(scope="module")
async def ask(pool):
    async with client_of(pool, wait_s=0.3) as client:
        yield client


def client_of(pool, wait_s):
    reader = DatabaseReader(pool, CheckpointWatch(pool, wait_s=wait_s))
    transport = httpx2.ASGITransport(application(reader), raise_app_exceptions=False)
    return httpx2.AsyncClient(transport=transport, base_url="http://query.test")


async def got(ask, path, **params):
    answer = await ask.get(path, params=params)
    assert answer.status_code == 200, answer.text
    return answer.json()


@pytest.mark.parametrize("path", LISTS)
async def test_every_list_has_items_a_cursor_and_the_position_it_holds_for(ask, path):
    page = await got(ask, path)
    assert set(page) == {"items", "next_cursor", "position"}
    assert page["position"] == len(EVENTS)


@pytest.mark.parametrize("path", ["/environments", "/events", "/queues/llama/history"])
async def test_pages_of_any_size_give_the_whole_list_once(ask, path):
    whole = (await got(ask, path, limit=200))["items"]
    assert len(whole) > 3
    pages, cursor = [], None
    while True:
        page = await got(ask, path, limit=3, **({"cursor": cursor} if cursor else {}))
        pages += page["items"]
        cursor = page["next_cursor"]
        if cursor is None:
            break
    assert pages == whole


@pytest.mark.parametrize("kind", ["environment", "node"])
async def test_things_that_people_know_by_their_id_say_it_first(ask, kind):
    for item in (await got(ask, f"/{kind}s"))["items"]:
        assert next(iter(item.items())) == ("id", item[f"{kind}_id"])
        one = await got(ask, f"/{kind}s/{item['id']}")
        assert next(iter(one.items())) == ("id", item["id"])


async def test_a_node_shows_its_gpus_and_what_its_agent_said(ask):
    node = await got(ask, "/nodes/n1")
    assert (node["status"], node["boot_id"], node["available_gpu_ids"]) == ("online", "b1", [0, 1])
    assert node["supported_models"] == ["Llama"]
    assert [(gpu["index"], gpu["state"], gpu["available"]) for gpu in node["gpus"]] == [
        (0, "allocated", False),
        (1, "quarantined", False),
        (2, "free", False),
    ]
    assert node["gpus"][0]["utilization_percent"] == 50
    assert node["last_seen_at"] == "2026-05-04T12:00:09.000000Z"


async def test_a_node_never_heard_is_offline_and_has_no_gpus(ask):
    node = await got(ask, "/nodes/n2")
    assert (node["status"], node["gpus"], node["last_seen_at"]) == ("offline", [], None)


async def test_gpus_are_narrowed_down_by_node_and_state(ask):
    free = await got(ask, "/gpus", state="free", node_id="n1")
    assert [gpu["uuid"] for gpu in free["items"]] == ["GPU-n1-2"]
    held = await got(ask, "/gpus/GPU-n1-0")
    assert (held["instance_id"], held["model_id"], held["memory_mb"]) == ("i-1", "llama", 81_559)


async def test_a_free_permitted_gpu_of_an_online_node_is_available(owner, ask):
    more = recorded([fleet.inventory("n3", 1), fleet.a_node("n3")], after=EVENTS)
    online = recorded([fleet.came_online("n3"), fleet.inventory("n3", 1)], after=[*EVENTS, *more])
    async with undone(owner):
        await put(owner, [*more, *online])
        await project_all(owner)
        gpu = await got(ask, "/gpus/GPU-n3-0")
        assert (gpu["state"], gpu["available"]) == ("free", True)


class undone:  # noqa: N801
    """Take back what a test added to the shared log."""

    def __init__(self, owner):
        self.owner = owner

    async def __aenter__(self):
        return self

    async def __aexit__(self, *_):
        for table in ("log.facts", "log.telemetry"):
            await self.owner.execute(f"alter table {table} disable trigger user")
            delete = f"delete from {table} where position > $1"
            await self.owner.execute(delete, len(EVENTS))
            await self.owner.execute(f"alter table {table} enable trigger user")
        names = "select tablename from pg_tables where schemaname = 'rm'"
        for row in await self.owner.fetch(names):
            if row["tablename"] != "checkpoints":
                await self.owner.execute(f"truncate rm.{row['tablename']}")
        await self.owner.execute("update rm.checkpoints set position = 0, event_id = null")
        await project_all(self.owner)


async def test_deployments_show_every_node_its_gpus_and_what_runs_on_them(ask):
    nodes = (await got(ask, "/deployments/status"))["items"]
    assert [node["node_id"] for node in nodes] == ["n1", "n2"]
    first, second, _ = nodes[0]["gpus"]
    assert (first["instance"]["instance_id"], first["instance"]["state"]) == ("i-1", "ready")
    assert second["instance"] is None


async def test_models_and_nodes_are_listed_by_environment(ask):
    for path, key, wanted in (("/models", "model_id", "qwen"), ("/nodes", "node_id", "n2")):
        items = (await got(ask, path, environment_id="lab"))["items"]
        assert [item[key] for item in items] == [wanted]


async def test_a_model_counts_its_instances_and_tells_of_its_floor(ask):
    model = await got(ask, "/models/llama")
    assert model["instances"] == {"requested": 0, "ready": 1, "stopping": 0}
    assert model["floor_unmet"]["reason"]["code"] == "queue_is_busy"


async def test_no_answer_holds_a_reference_to_a_secret(ask):
    for path in LISTS:
        if path != "/events":
            assert "secret_id" not in (await ask.get(path, params={"limit": 200})).text


async def test_a_queue_shows_its_newest_sample_and_the_mean_of_five_minutes(ask):
    queue = await got(ask, "/queues/llama")
    assert (queue["length"], queue["ready"], queue["unacknowledged"]) == (33, 32, 1)
    assert queue["mean_length_5m"] == 21.0
    assert (queue["queue_name"], queue["reachable"], queue["error"]) == ("q-llama", True, None)


async def test_an_unreachable_queue_says_why_and_knows_no_length(ask):
    queue = await got(ask, "/queues/qwen")
    assert (queue["reachable"], queue["error"]["code"]) == (False, "unauthorized")
    assert (queue["length"], queue["mean_length_5m"]) == (None, None)


async def test_queue_history_begins_with_the_newest_sample(ask):
    page = await got(ask, "/queues/llama/history", limit=2)
    assert [item["length"] for item in page["items"]] == [33, 20]


async def test_instances_are_narrowed_down(ask):
    for params in ({"model_id": "llama"}, {"node_id": "n1"}, {"state": "ready"}, {"active": True}):
        assert len((await got(ask, "/instances", **params))["items"]) == 1
    assert (await got(ask, "/instances", active=False))["items"] == []
    assert (await got(ask, "/instances/i-1"))["reason"]["numbers"]["wait_s"] == 40


async def test_an_ask_tells_of_the_instance_it_led_to(ask):
    found = await got(ask, "/asks/ask-1")
    assert (found["state"], found["instance_id"]) == ("placed", "i-1")
    assert found["instance_state"] == "ready"


async def test_decisions_are_listed_from_a_position_on_or_newest_first(ask):
    oldest = (await got(ask, "/decisions", model_id="llama"))["items"]
    assert [item["type"] for item in oldest] == ["model.floor_unmet", "instance.start_requested"]
    after = oldest[0]["position"]
    assert (await got(ask, "/decisions", after=after))["items"] == oldest[1:]
    newest = await got(ask, "/decisions", order="desc", limit=1)
    assert newest["items"] == oldest[1:]
    rest = await got(ask, "/decisions", order="desc", limit=1, cursor=newest["next_cursor"])
    assert rest["items"] == oldest[:1]


async def test_alerts_can_be_the_open_ones(ask):
    assert len((await got(ask, "/alerts", open="true"))["items"]) == 1
    assert (await got(ask, "/alerts", open="false"))["items"] == []
    assert (await got(ask, "/alerts/node_offline:n2"))["rule"] == "node_offline"


async def test_a_name_with_a_slash_is_found_with_its_version(ask):
    name = await got(ask, "/names/model/Llama 3/8b")
    assert (name["owner"], name["version"]) == ("llama", 1)
    assert (await ask.get("/names/model/free")).status_code == 404


async def test_events_come_from_the_log_by_type_stream_and_position(ask):
    events = (await got(ask, "/events", types="queue.sampled,alert.raised"))["items"]
    assert {event["type"] for event in events} == {"queue.sampled", "alert.raised"}
    assert len(events) == 5
    for stream in ("queue-samples/llama", "gpu/GPU-n1-0"):
        events = (await got(ask, "/events", stream=stream))["items"]
        assert [event["version"] for event in events] == list(range(1, len(events) + 1))
        assert {event["stream"] for event in events} == {stream}
    last = (await got(ask, "/events", after=len(EVENTS) - 1))["items"]
    assert [event["position"] for event in last] == [len(EVENTS)]
    assert last[0]["recorded_at"].endswith("Z")
    assert last[0]["meta"]["actor"] == "ada"


async def test_events_of_any_types_are_the_same_whichever_part_of_the_log_has_them(ask):
    whole = (await got(ask, "/events", limit=200))["items"]
    types = sorted({each["type"] for each in whole})
    facts = [each for each in types if each not in TELEMETRY_TYPES]
    telemetry = [each for each in types if each in TELEMETRY_TYPES]
    for some in ([each] for each in types), (facts, telemetry, types, [*facts, "no.such"]):
        for wanted in some:
            found = await got(ask, "/events", limit=200, types=",".join(wanted))
            assert found["items"] == [each for each in whole if each["type"] in wanted]
    then = await got(ask, "/events", limit=200, types=",".join(facts), as_of=20)
    assert then["items"] == [each for each in whole[:20] if each["type"] in facts]


async def test_facts_are_not_looked_for_among_telemetry(owner):
    page = ("explain (format json) " + _QUERIES[name] for name in ("fact_events", "events"))
    plans = [str(await owner.fetchval(sql, 50, None, 0, ["gpu.freed"])) for sql in page]
    assert ["telemetry" in plan for plan in plans] == [False, True]


async def test_status_tells_head_lag_and_leaders(ask):
    status = await got(ask, "/status")
    assert (status["head"], status["lag"]) == (len(EVENTS), 0)
    assert status["checkpoints"][0]["position"] == len(EVENTS)
    assert status["leases"][0]["holder"] == "p1"
    assert (await got(ask, "/health"))["status"] == "ok"


async def test_unchanged_content_is_not_sent_again(ask):
    first = await ask.get("/nodes")
    again = await ask.get("/nodes", headers={"if-none-match": first.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    assert again.headers["etag"] == first.headers["etag"]
    position, digest = first.headers["etag"].strip('"').split("-")
    assert position == str(len(EVENTS))
    older = await ask.get("/nodes", headers={"if-none-match": f'W/"1-{digest}", "x"'})
    assert older.status_code == 304
    other = await ask.get("/models", headers={"if-none-match": first.headers["etag"]})
    assert other.status_code == 200


async def test_a_read_waits_for_the_position_it_asks_for(owner, pool):
    async with undone(owner), client_of(pool, wait_s=30) as patient:
        position = len(EVENTS) + 1
        waiting = asyncio.create_task(
            patient.get("/environments/new", params={"min_position": position})
        )
        await put(owner, recorded([fleet.an_environment("new")], after=EVENTS))
        await project_all(owner)
        answer = await waiting
        assert answer.status_code == 200
        assert int(answer.headers["qm-position"]) >= position


async def test_a_position_that_is_not_reached_in_time_is_a_503_to_come_again_after(ask):
    answer = await ask.get("/nodes", params={"min_position": 10_000})
    assert answer.status_code == 503
    assert "retry-after" in answer.headers


def cursor(text):
    return urlsafe_b64encode(text.encode()).decode()


@pytest.mark.parametrize(
    ("path", "params", "field"),
    [
        ("/nodes", {"cursor": "%%%"}, "cursor"),
        ("/nodes", {"cursor": cursor("a\0b")}, "cursor"),
        ("/events", {"cursor": cursor("abc")}, "cursor"),
        ("/events", {"cursor": cursor("9" * 30)}, "cursor"),
        ("/events", {"cursor": cursor("²")}, "cursor"),
        ("/nodes", {"limit": 0}, "limit"),
        ("/nodes", {"limit": 201}, "limit"),
        ("/nodes", {"as_of": "yesterday"}, "as_of"),
        ("/nodes", {"as_of": -1}, "as_of"),
        ("/nodes", {"as_of": "2026-05-04T12:00:00Z" + "0" * 60}, "as_of"),
        ("/nodes/n1", {"whatever": 1}, "whatever"),
        ("/status", {"limit": 1}, "limit"),
        ("/nodes", {"min_position": -1}, "min_position"),
        ("/nodes", {"min_position": 2**63}, "min_position"),
        ("/gpus", {"state": "broken"}, "state"),
        ("/models", {"environment_id": "no such/id"}, "environment_id"),
        ("/alerts", {"open": "perhaps"}, "open"),
        ("/events", {"stream": "a\0b"}, "stream"),
        ("/names/model/a\0b", {}, "name"),
    ],
)
async def test_bad_input_is_a_422_that_names_the_field(ask, path, params, field):
    answer = await ask.get(path.replace("\0", "%00"), params=params)
    assert answer.status_code == 422, answer.text
    assert [error["field"] for error in answer.json()["errors"]] == [field]


@pytest.mark.parametrize(
    "path",
    ["/environments/no", "/models/no", "/nodes/no", "/gpus/no", "/instances/no", "/queues/no",
     "/asks/no", "/alerts/no", "/webhooks/no", "/strategies/no", "/nowhere"],
)  # fmt: skip
async def test_what_is_not_there_is_a_404(ask, path):
    assert (await ask.get(path)).status_code == 404


async def test_the_query_role_may_not_write(database):
    pool = await connect_pool(database.url("query"), service="query")
    with pytest.raises(Exception, match="permission denied"):
        await pool.execute("update rm.checkpoints set position = 0")
    await pool.close()
