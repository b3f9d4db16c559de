"""The time machine over a real log: histories at three zooms, and causes both ways."""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID

import httpx2
import pytest

from contracts.events.alert import AlertDelivered, AlertResolved
from contracts.events.environment import EnvironmentUpdated
from contracts.events.instance import InstanceDied, InstanceStarted, InstanceStopped
from contracts.events.instance import InstanceStopRequested as StopRequested
from contracts.events.strategy import StrategyActivated, StrategyCreated
from contracts.types import Reason
from services.chassis.database import connect_pool
from services.gateway.routes.reading import TELLING_LOGS
from services.projector.service import project_all
from services.query.adapters.checkpoint import CheckpointWatch
from services.query.adapters.events import DatabaseEvents
from services.query.adapters.reader import DatabaseReader
from services.query.handlers import TimeMachine
from services.query.routes import application, history
from tests import fleet
from tests.histories import START, Told
from tests.recorded import put

BELOW = Reason(code="below_floor", numbers={"instances": 0, "floor": 1}, strategy="main")
OUT_OF_MEMORY = "loading\nCUDA out of memory. Tried to allocate 20 GiB"


def _story() -> tuple[Told, dict[str, int]]:
    """A model whose worker runs out of memory five times, on a node that goes away once."""
    log, at = Told(), {}
    log.say(fleet.an_environment(), who="ada")
    created = StrategyCreated(
        strategy_id="s-1", name="main", policy="busy_queue_scaling", active=False
    )
    log.say(("strategy/s-1", created), who="ada")
    log.say(("strategy/s-1", StrategyActivated(strategy_id="s-1")), who="ada")
    node = log.say(fleet.a_node(), who="ada")
    log.say(fleet.came_online(), node)
    log.say(fleet.inventory(), node)
    log.later(60)
    cause = log.say(fleet.a_model(), who="ada")
    at["registered"] = cause.position
    log.say(fleet.sampled(length=7))
    for number in range(1, 6):
        log.later(2)
        log.say(fleet.allocated("GPU-n1-0", f"i-{number}"), cause)
        wanted = log.say(fleet.start_requested(f"i-{number}", reason=BELOW), cause)
        log.later(20)
        started = log.say(fleet.of_instance(InstanceStarted, f"i-{number}"), wanted)
        log.later(98)
        death = {"because": "exited", "exit_code": 1, "log_tail": OUT_OF_MEMORY}
        cause = log.say(fleet.of_instance(InstanceDied, f"i-{number}", **death), started)
        log.say(fleet.freed("GPU-n1-0", f"i-{number}"), cause)
    at["last death"] = cause.position
    log.say(fleet.allocated("GPU-n1-1", "i-6"), cause)
    wanted = log.say(fleet.start_requested("i-6", reason=BELOW, gpu="GPU-n1-1", gpu_index=1), cause)
    log.later(30)
    started = log.say(fleet.of_instance(InstanceStarted, "i-6", gpu_uuid="GPU-n1-1"), wanted)
    at["i-6 started"] = started.position
    log.later(600)
    offline = log.say(fleet.went_offline())
    alert = log.say(fleet.raised(), offline)
    told = AlertDelivered(
        message_id=alert.event_id,
        alert_id="node_offline:n1",
        webhook_id="w-1",
        attempt=1,
        status_code=200,
    )
    log.say(("alert/node_offline:n1", told), alert)
    log.later(480)
    online = log.say(fleet.came_online())
    over = AlertResolved(alert_id="node_offline:n1", rule="node_offline", subject="n1")
    log.say(("alert/node_offline:n1", over), online)
    log.later(1200)
    sample = log.say(fleet.sampled("qwen", length=40))
    stop = fleet.of_instance(
        StopRequested,
        "i-6",
        gpu_uuid="GPU-n1-1",
        reason=Reason(
            code="replaced", numbers={"taker": "qwen", "quiet_s": 1200.0}, strategy="main"
        ),
    )
    stop = log.say(stop, sample)
    log.later(5)
    ended = log.say(fleet.of_instance(InstanceStopped, "i-6", gpu_uuid="GPU-n1-1"), stop)
    log.say(fleet.freed("GPU-n1-1", "i-6"), ended)
    at["stopped"] = ended.position
    for hand in ("ada", "ada", "bob"):
        log.later(30)
        renamed = EnvironmentUpdated(environment_id="prod", name="Prod")
        log.say(("environment/prod", renamed), who=hand)
    return log, at


LOG, AT = _story()


@pytest.fixture(scope="module")
async def owner(database):
    owner = await connect_pool(database.owner_url(), service="test", min_size=1, max_size=2)
    await put(owner, LOG.events)
    await project_all(owner)
    yield owner
    await owner.close()


@pytest.fixture(scope="module")
async def ask(database, owner):
    pool = await connect_pool(database.url("query"), service="query")
    checkpoint = CheckpointWatch(pool, wait_s=0.3)
    reader, machine = (
        DatabaseReader(pool, checkpoint),
        TimeMachine(DatabaseEvents(pool, checkpoint)),
    )
    app = application(reader, history.routes(reader, machine))
    transport = httpx2.ASGITransport(app, raise_app_exceptions=False)
    async with httpx2.AsyncClient(transport=transport, base_url="http://query.test") as client:
        yield client
    await pool.close()


async def got(ask, path, **params):
    answer = await ask.get(path, params=params)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def sentences(ask, path, **params):
    return [item["what"] for item in (await got(ask, path, **params))["items"]]


async def test_an_instance_is_told_as_one_run_from_its_start_to_its_end(ask):
    page = await got(ask, "/history/instance/i-6")
    run = next(group for group in page["items"] if group["code"] == "run")
    assert run["what"] == (
        "ran 14:11\N{EN DASH}14:49 on GPU 1 of n1 (38 min);"
        " stopped: qwen needs its GPU, and nothing was asked of it for 20 min"
    )
    assert (run["who"], run["why"]) == (
        "scheduler",
        "it has 0 of the 1 instances it must have",
    )
    assert (run["events"], run["lasted_s"]) == (6, 2315.0)
    assert run["about"]["gpu"] == "GPU-n1-1"


async def test_the_silence_of_its_node_belongs_to_an_instance_while_it_lives(ask):
    assert "node n1 was offline 14:21\N{EN DASH}14:29 (8 min): timed out" in await sentences(
        ask, "/history/instance/i-6"
    )
    assert len(await sentences(ask, "/history/instance/i-1")) == 1


async def test_a_model_that_fails_again_and_again_is_told_in_one_line(ask):
    told = await sentences(ask, "/history/model/llama", order="asc")
    assert told[0] == "model Llama registered, to have 1 to 1 instances"
    assert told[1] == "restarted 5 times in 10 min: out of memory"
    assert told[2].startswith("i-6 ran 14:11")
    assert len(told) == 3


async def test_a_gpu_and_a_node_know_what_ran_on_them(ask):
    gpu = await sentences(ask, "/history/gpu/GPU-n1-1", order="asc")
    assert gpu[0].startswith("node n1 has 2 GPUs")
    assert gpu[1].startswith("Llama (i-6) ran 14:11")
    assert gpu[2].startswith("node n1 was offline")
    node = await sentences(ask, "/history/node/n1")
    assert "Llama restarted 5 times in 10 min: out of memory" in node
    assert "alert 14:21\N{EN DASH}14:29 (8 min): n1 is silent, 1 webhook told" in node


async def test_what_goes_on_is_told_as_going_on_as_of_that_position(ask):
    told = await sentences(ask, "/history/instance/i-6", as_of=AT["i-6 started"])
    assert told == ["runs since 14:11 on GPU 1 of n1"]
    before = await ask.get("/history/instance/i-6", params={"as_of": AT["last death"]})
    assert before.status_code == 404


async def test_changes_by_the_same_hand_are_one_line(ask):
    told = await got(ask, "/history/environment/prod", order="asc", types="environment.updated")
    assert [(group["what"], group["who"]) for group in told["items"]] == [
        ("environment Prod changed, 2 times in 30 s", "ada"),
        ("environment Prod changed", "bob"),
    ]


async def test_a_strategy_knows_what_was_decided_under_its_name(ask):
    told = await sentences(ask, "/history/strategy/s-1", zoom="timeline", order="asc", limit=3)
    assert told[:2] == [
        "strategy main created (busy_queue_scaling, not active)",
        "strategy s-1 decides from here on",
    ]
    assert told[2] == "instance i-1 of Llama is to start on GPU 0 of node n1"


async def test_a_webhook_and_an_alert_have_histories_too(ask):
    assert await sentences(ask, "/history/webhook/w-1", zoom="timeline") == [
        "webhook w-1 was told of alert node_offline:n1"
    ]
    alert = await sentences(ask, "/history/alert/node_offline:n1")
    assert alert == ["alert 14:21\N{EN DASH}14:29 (8 min): n1 is silent, 1 webhook told"]


async def test_a_line_says_who_why_what_it_came_of_and_what_it_led_to(ask):
    page = await got(ask, "/history/instance/i-5", zoom="timeline", types="instance.died")
    (line,) = page["items"]
    assert (line["who"], line["why"]) == ("node_monitor", "out of memory")
    assert line["caused_by"]["what"] == "instance i-5 is ready on node n1 after 12 s"
    assert [each["type"] for each in line["led_to"]] == [
        "gpu.freed",
        "gpu.allocated",
        "instance.start_requested",
    ]
    assert line["led_to_more"] is False


async def test_raw_events_are_the_log_byte_for_byte(ask):
    page = await got(ask, "/history/instance/i-6", zoom="events", order="asc", limit=200)
    log = (await got(ask, "/events", stream="instance/i-6", limit=200))["items"]
    assert [each for each in page["items"] if each["stream"] == "instance/i-6"] == log


@pytest.mark.parametrize("zoom", ["groups", "timeline", "events"])
@pytest.mark.parametrize("order", ["asc", "desc"])
@pytest.mark.parametrize("subject", ["model/llama", "node/n1", "gpu/GPU-n1-0", "instance/i-6"])
async def test_pages_of_any_size_give_everything_once(ask, zoom, order, subject):
    path, zoomed = f"/history/{subject}", {"zoom": zoom, "order": order}
    whole = (await got(ask, path, limit=200, **zoomed))["items"]
    pages, cursor = [], None
    while True:
        page = await got(ask, path, limit=2, **zoomed, **({"cursor": cursor} if cursor else {}))
        pages += page["items"]
        cursor = page["next_cursor"]
        if cursor is None:
            break
    if zoom == "groups":  # restarts are gathered on each page by itself
        assert sum(each["events"] for each in pages) == sum(each["events"] for each in whole)
    else:
        assert pages == whole


async def test_a_history_is_narrowed_down_by_positions_moments_and_types(ask):
    path, zoomed = "/history/model/llama", {"zoom": "timeline", "order": "asc", "limit": 200}
    whole = (await got(ask, path, **zoomed))["items"]
    some = await got(ask, path, **zoomed, since=AT["registered"] + 1, until=AT["last death"])
    assert some["items"] == [
        each for each in whole if AT["registered"] < each["position"] <= AT["last death"]
    ]
    since, until = START + timedelta(seconds=60), START + timedelta(seconds=62)
    early = await got(ask, path, **zoomed, since=since.isoformat(), until=until.isoformat())
    assert [each["type"] for each in early["items"]] == [
        "model.registered",
        "gpu.allocated",
        "instance.start_requested",
    ]
    deaths = await got(ask, path, **zoomed, types="instance.died,instance.stopped")
    assert len(deaths["items"]) == 6


@pytest.mark.parametrize("since", ["0001-01-01", "0001-01-01T00:00:00.000001Z"])
@pytest.mark.parametrize("until", ["9999-12-31T23:59:59.999999Z", str(2**63 - 1), "9" * 64])
async def test_the_first_and_the_last_moments_there_are_bound_nothing(ask, since, until):
    path = "/history/model/llama"
    whole = (await got(ask, path, limit=200))["items"]
    assert (await got(ask, path, limit=200, since=since, until=until))["items"] == whole
    assert (await got(ask, path, since=until))["items"] == []
    assert (await got(ask, path, until=since))["items"] == []


@pytest.mark.parametrize(
    ("params", "field"),
    [
        ({"as_of": 10**9}, "as_of"),
        ({"as_of": "2199-01-01T00:00:00Z"}, "as_of"),
        ({"as_of": 0}, "as_of"),
        ({"as_of": "0001-01-01"}, "as_of"),
        ({"as_of": "9999-12-31T23:59:59.999999-12:00"}, "as_of"),
        ({"as_of": "9999-12-31T23:59:59.999999"}, "as_of"),
        ({"until": "0001-01-01T00:00:00+12:00"}, "until"),
        ({"since": "yesterday"}, "since"),
        ({"zoom": "close"}, "zoom"),
        ({"cursor": "nonsense!"}, "cursor"),
        ({"types": "instance.deid"}, "types"),
        ({"limit": 0}, "limit"),
    ],
)
async def test_what_makes_no_sense_is_refused_by_name(ask, params, field):
    answer = await ask.get("/history/model/llama", params=params)
    assert answer.status_code == 422, answer.text
    assert [each["field"] for each in answer.json()["errors"]] == [field]


async def test_what_the_log_never_spoke_of_is_not_found(ask):
    assert (await ask.get("/history/model/nobody")).status_code == 404
    assert (await ask.get("/history/dragon/llama")).status_code == 422
    assert (await ask.get("/blame/100000")).status_code == 404
    assert (await ask.get(f"/blame/{UUID(int=1)}")).status_code == 404
    assert (await ask.get("/blame/nonsense")).status_code == 422


async def test_blame_leads_from_a_replacement_to_the_death_and_to_who_began_it(ask):
    started = await got(ask, f"/blame/{AT['i-6 started']}")
    types = [each["type"] for each in started["causes"]]
    assert types[:3] == ["instance.start_requested", "instance.died", "instance.started"]
    assert started["origin"]["position"] == AT["last death"]
    assert (started["end"], started["first"]["position"]) == ("first", AT["registered"])
    assert started["causes"][-1]["who"] == "ada"
    by_id = await got(ask, f"/blame/{LOG.events[AT['i-6 started'] - 1].event_id}")
    assert by_id == started


async def test_blame_shows_what_an_event_led_to_as_a_tree(ask):
    found = await got(ask, f"/blame/{AT['last death']}", causes=0)
    assert [each["type"] for each in found["effects"]] == [
        "gpu.freed",
        "gpu.allocated",
        "instance.start_requested",
    ]
    (started,) = found["effects"][2]["effects"]
    assert started["type"] == "instance.started"
    assert (found["cut"], found["shown"]) == (False, 4)


async def test_blame_says_where_it_was_cut(ask):
    found = await got(ask, f"/blame/{AT['i-6 started']}", causes=2)
    assert (found["end"], len(found["causes"])) == ("cut", 2)
    assert found["first"]["position"] == AT["registered"]
    shallow = await got(ask, f"/blame/{AT['registered']}", depth=1)
    assert shallow["cut"] is True
    assert [each["cut"] for each in shallow["effects"]] == [False, True]
    few = await got(ask, f"/blame/{AT['registered']}", effects=3)
    assert (few["cut"], few["shown"]) == (True, 3)


async def test_a_chain_leads_over_telemetry_and_says_when_it_is_gone(ask, owner):
    found = await got(ask, f"/blame/{AT['stopped']}")
    assert [each["type"] for each in found["causes"]] == [
        "instance.stop_requested",
        "queue.sampled",
    ]
    assert found["origin"]["type"] == "queue.sampled"
    assert found["end"] == "first"


async def test_blame_as_of_a_position_knows_nothing_later(ask):
    found = await got(ask, f"/blame/{AT['last death']}", as_of=AT["last death"])
    assert found["effects"] == []
    later = await ask.get(f"/blame/{AT['stopped']}", params={"as_of": AT["last death"]})
    assert later.status_code == 404


READS = (
    "/instances",
    "/instances/i-1",
    "/deployments/status",
    "/events?types=instance.died",
    "/events?stream=instance/i-1",
    "/history/model/llama?zoom=events",
)


@pytest.mark.parametrize("path", READS)
async def test_the_last_lines_of_a_log_are_left_out_for_who_may_not_read_logs(ask, path):
    whole = await ask.get(path)
    asked = f"{path}{'&' if '?' in path else '?'}log_tails=false"
    some = await ask.get(asked)
    assert (whole.status_code, some.status_code) == (200, 200)
    assert "log_tail" not in some.text
    assert some.json() == _without_tails(whole.json())
    same = await ask.get(asked, headers={"if-none-match": some.headers["etag"]})
    assert same.status_code == 304
    if "deployments" not in path:  # nothing that died holds a GPU there
        assert "CUDA" in whole.text
        assert some.headers["etag"] != whole.headers["etag"]


def _without_tails(said):
    if isinstance(said, list):
        return [_without_tails(each) for each in said]
    if isinstance(said, dict):
        return {name: _without_tails(each) for name, each in said.items() if name != "log_tail"}
    return said


async def test_no_other_read_tells_what_a_worker_wrote(ask):
    for path in ask._transport.app.openapi()["paths"]:
        if "{" not in path and not path.startswith(TELLING_LOGS):
            assert OUT_OF_MEMORY.splitlines()[1] not in (await ask.get(path)).text
    for path in ("/history/model/llama", "/history/instance/i-1?zoom=timeline", "/nodes/n1"):
        assert OUT_OF_MEMORY.splitlines()[1] not in (await ask.get(path)).text
    blamed = await ask.get(f"/blame/{AT['last death']}")
    assert (blamed.status_code, "CUDA" in blamed.text) == (200, False)


async def test_the_same_content_is_not_sent_again(ask):
    first = await ask.get("/history/model/llama")
    again = await ask.get("/history/model/llama", headers={"if-none-match": first.headers["etag"]})
    assert (first.status_code, again.status_code) == (200, 304)
