"""Pages over a fake gateway: what they show, ask, refuse, and never give away."""

from __future__ import annotations

import asyncio
import re
from datetime import timedelta

import pytest

from services.chassis.errors import Unavailable
from services.console.adapters.gateway import Answer, Told
from services.console.decide.actions import ACTIONS
from services.console.routes.entering import safe
from services.console.routes.sessions import COOKIE
from tests.fake_gateway import TOKEN, FakeGateway, a_model, a_rule, an_event
from tests.unit.console.door import ASSETS, Noon, a_house, browser, logged_in

PAGES = (
    "/", "/environments", "/models", "/nodes", "/deployments", "/scheduling", "/events", "/alerts",
    "/models/mdl-1", "/nodes/nod-1", "/gpus/GPU-0", "/instances/i-1", "/environments/env-1",
    "/strategies/str-1", "/alerts/node_offline%3Anod-2%3A5", "/webhooks/whk-1",
    "/models/mdl-2", "/gpus/GPU-1",
)  # fmt: skip


@pytest.mark.parametrize("path", PAGES)
async def test_every_page_is_drawn_now_and_as_of_the_past_without_inline_code(path):
    gateway = FakeGateway()
    client = await logged_in(gateway)
    now = await client.get(path)
    assert now.status_code == 200, now.text
    assert not re.search(r"<script(?![^>]* src=)|<style|\son\w+=|\sstyle=|javascript:", now.text)
    assert "{&#39;" not in now.text, "what the API says is shown in words"
    gateway.asked.clear()
    past = await client.get(path, params={"as_of": "50"})
    assert past.status_code == 200, past.text
    assert "as it was at position" in past.text
    assert "data-dialog" not in past.text
    reads = [sent for asked, sent in gateway.asked if asked != "/status"]
    assert reads
    assert all(sent.get("as_of") == "50" for sent in reads)


async def test_a_page_is_drawn_in_part_for_one_that_is_there_already():
    client = await logged_in(FakeGateway())
    part = await client.get("/", headers={"hx-request": "true"})
    assert part.text.lstrip().startswith('<div id="shell"')


async def test_what_is_wrong_with_a_queue_or_a_gpu_is_said_in_words():
    client = await logged_in(FakeGateway())
    why = "its broker does not take this user and password (the broker answered 401)"
    assert f"The queue cannot be read: {why}." in (await client.get("/models/mdl-2")).text
    for path in ("/", "/models"):
        assert f'title="{why}"' in (await client.get(path)).text
    gpu = (await client.get("/gpus/GPU-1")).text
    assert "<dd>its node reports [4711] on it</dd>" in gpu
    assert "<dd>since 11:53:00</dd>" in gpu
    assert 'href="/instances/i-0"' in gpu


async def test_an_empty_fleet_says_what_to_do_next():
    gateway = FakeGateway()
    for path, said in gateway.says.items():
        if isinstance(said, list):
            gateway.says[path] = []
    client = await logged_in(gateway)
    for path in (
        "/",
        "/environments",
        "/models",
        "/nodes",
        "/deployments",
        "/scheduling",
        "/events",
        "/alerts",
        "/accounts",
        "/keys",
        "/webhooks/whk-1",
    ):
        assert 'class="empty"' in (await client.get(path)).text, path


async def test_what_people_named_is_shown_as_text_and_never_as_a_page():
    gateway = FakeGateway()
    name = "<script>alert(1)</script>\"'"
    gateway.says["/models"] = [a_model(name=name)]
    client = await logged_in(gateway)
    for path in ("/", "/models", "/search?q=script"):
        text = (await client.get(path)).text
        assert "<script>alert" not in text
        assert "&lt;script&gt;alert(1)" in text


async def test_a_stranger_is_sent_to_the_door_and_back_to_where_they_wanted_to_go():
    client = browser(FakeGateway())
    answer = await client.get("/models?range=1h")
    assert (answer.status_code, answer.headers["location"]) == (
        303,
        "/login?next=/models%3Frange%3D1h",
    )
    part = await client.get("/", headers={"hx-request": "true"})
    assert part.headers["hx-redirect"].startswith("/login")
    entered = await client.post(
        "/login", data={"username": "ann", "password": "right", "next": "/models?range=1h"}
    )
    assert entered.headers["location"] == "/models?range=1h"


async def test_a_wrong_password_and_an_unknown_token_are_refused_in_words():
    client = browser(FakeGateway())
    for form in ({"username": "ann", "password": "wrong"}, {"token": "x" * 20}, {}):
        answer = await client.post("/login", data=form)
        assert answer.status_code == 401
        assert 'role="alert"' in answer.text


async def test_the_cookie_is_sealed_and_no_script_or_other_site_gets_it():
    client = browser(FakeGateway())
    answer = await client.post("/login", data={"token": TOKEN})
    cookie = answer.headers["set-cookie"]
    assert TOKEN not in cookie
    assert all(word in cookie.lower() for word in ("httponly", "samesite=strict", "path=/"))
    changed = client.cookies[COOKIE][:-6] + "AAAAA="
    client.cookies.clear()
    client.cookies.set(COOKIE, changed)
    assert (await client.get("/")).status_code == 303


async def test_a_session_ends_when_it_is_over_and_when_the_gateway_knows_it_no_more():
    clock, gateway = Noon(), FakeGateway()
    client = await logged_in(gateway, clock)
    gateway.is_known = False
    gone = await client.get("/models")
    assert (gone.status_code, gone.headers["location"]) == (303, "/login?next=/models")
    gateway.is_known = True
    client = await logged_in(gateway, clock)
    clock.at += timedelta(hours=13)
    assert (await client.get("/")).status_code == 303


async def test_tokens_are_renewed_once_for_pages_asked_at_the_same_time():
    clock, gateway = Noon(), FakeGateway()
    client = browser(gateway, clock)
    await client.post("/login", data={"username": "ann", "password": "right"})
    clock.at += timedelta(minutes=59)
    answers = await asyncio.gather(*(client.get("/environments") for _ in range(3)))
    assert {each.status_code for each in answers} == {200}
    assert [each for each in gateway.done if each[0] == "REFRESH"] == [("REFRESH", "r", None, None)]


@pytest.mark.parametrize(
    "headers",
    [{"sec-fetch-site": "cross-site"}, {"sec-fetch-site": "same-site"}, {"sec-fetch-site": "none"}],
)
async def test_what_another_site_sends_is_refused(headers):
    gateway = FakeGateway()
    client = await logged_in(gateway)
    answer = await client.post("/do/instance.stop/i-1", data={}, headers=headers)
    assert (answer.status_code, gateway.done) == (403, [])


async def test_a_browser_without_fetch_metadata_is_known_by_its_origin():
    gateway = FakeGateway()
    client = await logged_in(gateway)
    del client.headers["sec-fetch-site"]
    assert (await client.post("/do/instance.stop/i-1", data={})).status_code == 403
    assert (
        await client.post("/do/instance.stop/i-1", data={}, headers={"origin": "http://evil"})
    ).status_code == 403
    assert (
        await client.post("/do/instance.stop/i-1", data={}, headers={"origin": "http://console"})
    ).status_code == 303


async def test_every_answer_forbids_what_pages_do_not_need():
    client = await logged_in(FakeGateway())
    for path in ("/", "/login", "/nope", ASSETS.url("app.js")):
        headers = (await client.get(path)).headers
        assert "script-src 'self'" in headers["content-security-policy"]
        assert "unsafe" not in headers["content-security-policy"]
        assert headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize("code", sorted(ACTIONS))
async def test_every_action_asks_first_and_is_one_command(code):
    gateway = FakeGateway()
    ids = {
        "environment": "env-1",
        "model": "mdl-1",
        "node": "nod-1",
        "instance": "i-1",
        "strategy": "str-1",
        "webhook": "whk-1",
        "account": "acc-2",
        "own": "new",
        "key": "key-1",
        "rule": "node_offline",
        "silence": "sil-1",
    }
    action = ACTIONS[code]
    id_ = "new" if action.is_new else ids[action.kind]
    client = await logged_in(gateway)
    asked = await client.get(f"/do/{code}/{id_}")
    assert asked.status_code == 200, asked.text
    key = re.search(r'name="idempotency_key" value="([^"]+)"', asked.text)[1]
    numbers = {"number": "1", "decimal": "1.5", "json": "{}", "numbers": "0, 1"}
    form = {
        each.name: each.options[0][0] if each.options else numbers.get(each.kind, "x")
        for each in action.fields_for(a_rule())
        if each.kind != "tick"
    }
    did = await client.post(f"/do/{code}/{id_}", data={**form, "idempotency_key": key})
    assert did.status_code == 303, did.text
    assert "min_position=101" in did.headers["location"]
    ((method, path, _, sent_key),) = gateway.done
    assert (method, sent_key) == (action.method, key)
    assert "{" not in path


async def test_stopping_names_the_instance_and_draining_can_stop_all():
    gateway = FakeGateway()
    client = await logged_in(gateway)
    await client.post("/do/instance.stop/i-1", data={})
    await client.post("/do/node.drain/nod-1", data={"also_stop": "on"})
    assert [each[:3] for each in gateway.done] == [
        ("POST", "/nodes/nod-1/models/stop", {"instance_id": "i-1"}),
        ("PATCH", "/nodes/nod-1", {"available_gpu_ids": []}),
        ("POST", "/nodes/nod-1/models/stop", {"instance_id": "i-1"}),
    ]


async def test_what_the_gateway_refuses_stands_beside_the_field_and_nothing_typed_is_lost():
    gateway = FakeGateway()
    gateway.answers = [Answer(422, detail="not valid", errors={"name": "it is taken"})]
    client = await logged_in(gateway)
    answer = await client.post(
        "/do/environment.create/new", data={"name": "prod", "description": "mine"}
    )
    assert answer.status_code == 422
    assert "it is taken" in answer.text
    assert 'value="mine"' in answer.text


async def test_a_webhooks_secret_is_shown_in_one_answer():
    gateway = FakeGateway()
    gateway.answers = [Answer(201, {"id": "w-1", "secret": "whsec_abc"}, 101)]
    client = await logged_in(gateway)
    answer = await client.post(
        "/do/webhook.create/new", data={"url": "https://a", "kind": "standard"}
    )
    assert "whsec_abc" in answer.text


async def test_a_gateway_that_does_not_answer_is_told_with_what_to_do():
    gateway = FakeGateway()
    client = await logged_in(gateway)

    async def silent(*args):
        raise Unavailable("the gateway does not answer")

    gateway.read = silent
    answer = await client.get("/")
    assert answer.status_code == 503
    assert "Check that the gateway runs" in answer.text


async def test_the_past_before_the_log_is_told_as_such():
    gateway = FakeGateway()
    client = await logged_in(gateway)
    read = gateway.read

    async def refusing(caller, path, parameters=()):
        if "as_of" in dict(parameters):
            return Answer(422, detail="that is before the log's beginning")
        return await read(caller, path, parameters)

    gateway.read = refusing
    answer = await client.get("/", params={"as_of": "2020-01-01"})
    assert (answer.status_code, "Show it live" in answer.text) == (422, True)


async def test_events_are_the_newest_first_and_telemetry_is_left_out():
    gateway = FakeGateway()
    gateway.says["/events"][-1] = an_event(100, type="queue.sampled")
    client = await logged_in(gateway)
    found = re.findall(r'<tr id="e(\d+)"', (await client.get("/events")).text)
    assert found[:2] == ["99", "98"]
    found = re.findall(r'<tr id="e(\d+)"', (await client.get("/events?telemetry=on")).text)
    assert found[0] == "100"


async def test_live_says_that_the_log_moved_and_shows_what_came():
    gateway = FakeGateway()
    house = a_house(gateway)
    from services.console.routes.live import News

    class Looking:
        caller = None
        when = None

    visit = Looking()
    visit.house = house
    from services.console.decide.when import When

    visit.when = When()

    async def all_(path):
        return [{"id": "nod-1", "name": "gpu-1"}] if path == "/nodes" else []

    visit.all = all_
    news = News(visit, "", with_telemetry=False, with_rows=True)
    stream = news.stream(None)
    for position, type_ in ((101, "queue.sampled"), (102, "node.went_offline")):
        gateway.told.put_nowait(Told(position, an_event(position, type=type_)))
    said = await anext(stream)
    while "moved" not in said:
        said = await anext(stream)
    while "102" not in said:
        said += await anext(stream)
    await stream.aclose()
    assert "queue.sampled" not in said
    assert "gpu-1" in said
    assert all(
        line.startswith(("id:", "event:", "data:")) or not line for line in said.splitlines()
    )


async def test_a_live_stream_of_somebody_unknown_says_that_it_expired():
    gateway = FakeGateway()
    client = await logged_in(gateway)
    gateway.is_known = False
    answer = await client.get("/live")
    assert "event: expired" in answer.text


@pytest.mark.parametrize(
    "target", ["//evil.example", "https://evil.example", "/\\evil", "", "/a\r\nb"]
)
def test_nobody_is_sent_elsewhere_after_the_login(target):
    assert safe(target) == "/"


def test_all_scripts_and_styles_are_small_and_named_by_what_is_in_them():
    assert sum(len(each.small) for each in ASSETS.by_name.values()) < 150 * 1024
    assert re.fullmatch(r"/static/app\.[0-9a-f]{12}\.js", ASSETS.url("app.js"))


async def test_files_are_kept_for_ever_and_others_are_not_found():
    client = browser(FakeGateway())
    answer = await client.get(ASSETS.url("app.css"))
    assert "immutable" in answer.headers["cache-control"]
    assert (await client.get("/static/../settings.py")).status_code == 404
