"""Accounts, API keys, alert rules, silences and webhooks: shown, and done with one command each."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import httpx2
import pytest

from services.console.adapters.gateway import Answer, Caller, Gateway
from services.console.decide.telling import delivery_rows, rule_rows
from services.console.decide.when import lengths
from tests.fake_gateway import NOON, TOKEN, FakeGateway, a_delivery, a_rule
from tests.unit.console.door import browser, logged_in

if TYPE_CHECKING:
    from httpx2 import Request

OF_NOW = ("/accounts", "/keys", "/rules")


@pytest.mark.parametrize("path", OF_NOW)
async def test_what_has_no_past_is_shown_as_it_is_now_and_says_so(path):
    gateway = FakeGateway()
    client = await logged_in(gateway)
    assert "as they are now" not in (await client.get(path)).text
    gateway.asked.clear()
    past = (await client.get(path, params={"as_of": "50"})).text
    assert "shown as they are now, not as at position" in past
    assert "data-dialog" not in past
    assert all("as_of" not in sent for asked, sent in gateway.asked if asked == path)


async def test_an_alerts_page_of_the_past_claims_nothing_about_silences():
    client = await logged_in(FakeGateway())
    assert "new fans" in (await client.get("/alerts")).text
    past = (await client.get("/alerts", params={"as_of": "50"})).text
    assert "new fans" not in past
    assert "not as they were then" in past


async def test_accounts_are_for_admins_and_keys_for_everybody():
    gateway = FakeGateway()
    gateway.permissions = ["read"]
    client = await logged_in(gateway)
    text = (await client.get("/keys")).text
    assert 'href="/accounts"' not in text
    assert "New API key" in text
    assert all(asked != "/accounts" for asked, _ in gateway.asked)


async def test_an_account_is_registered_at_the_door_of_the_gateway():
    gateway = FakeGateway()
    client = await logged_in(gateway)
    form = {"username": "eve", "password": "correct horse", "role": "operator"}
    did = await client.post("/do/account.create/new", data=form)
    assert did.headers["location"].startswith("/accounts?")
    assert gateway.done[0][:3] == ("POST", "/auth/register", form)


async def test_your_own_password_is_changed_where_the_session_came_of_one():
    gateway = FakeGateway()
    with_token = await logged_in(gateway)
    assert "/do/own.password/new" not in (await with_token.get("/keys")).text
    client = browser(gateway)
    await client.post("/login", data={"username": "eve", "password": "right"})
    assert "/do/own.password/new" in (await client.get("/keys")).text
    asked = (await client.get("/do/own.password/new")).text
    assert "ends all of your sessions" in asked
    form = {"current_password": "right", "password": "battery staple"}
    await client.post("/do/own.password/new", data=form)
    assert gateway.done[-1][:3] == ("POST", "/auth/password", form)


async def test_a_command_at_the_door_stands_beside_the_api_and_tells_its_position():
    asked: list[str] = []

    def door(request: Request) -> httpx2.Response:
        asked.append(request.url.path)
        return httpx2.Response(201, json={"id": "acc-1"}, headers={"qm-position": "7"})

    gateway = Gateway("http://gateway", "/api/v1", transport=httpx2.MockTransport(door))
    answer = await gateway.command(Caller(TOKEN), "POST", "/auth/register", {})
    await gateway.command(Caller(TOKEN), "POST", "/keys", {})
    await gateway.close()
    assert (answer.position, answer.data) == (7, {"id": "acc-1"})
    assert asked == ["/auth/register", "/api/v1/keys"]


async def test_a_key_is_narrowed_ends_and_is_shown_once():
    gateway = FakeGateway()
    gateway.answers = [Answer(201, {"id": "key-9", "name": "ci2", "key": "qmk_secret"}, 101)]
    client = await logged_in(gateway)
    form = {"name": "ci2", "role": "operator", "expires_in_days": "null", "permissions.read": "on"}
    did = await client.post("/do/key.create/new", data=form)
    assert did.text.count("qmk_secret") == 1
    assert did.headers["cache-control"] == "no-store"
    assert gateway.done[0][2] == {
        "name": "ci2", "role": "operator", "permissions": ["read"], "expires_in_days": None,
    }  # fmt: skip
    wrong = await client.post("/do/key.create/new", data={**form, "expires_in_days": "[1]"})
    assert (wrong.status_code, len(gateway.done)) == (422, 1)
    assert re.search(r'name="permissions.read" checked', wrong.text)


async def test_a_rules_limits_are_asked_with_their_bounds_and_sent_by_name():
    gateway = FakeGateway()
    client = await logged_in(gateway)
    asked = (await client.get("/do/rule.change/node_offline")).text
    assert 'value="60"' in asked
    assert "30 s unless it is set" in asked
    await client.post("/do/rule.change/node_offline", data={"limits.calm_s": "90"})
    await client.post("/do/rule.disable/node_offline", data={})
    assert [each[2] for each in gateway.done] == [{"limits": {"calm_s": 90.0}}, {"enabled": False}]


async def test_an_open_alert_offers_a_silence_of_its_own():
    client = await logged_in(FakeGateway())
    link = re.search(r'href="(/do/silence.create/new\?[^"]+)"', (await client.get("/alerts")).text)
    asked = (await client.get(link[1].replace("&amp;", "&"))).text
    assert '<option value="node_offline" selected>' in asked
    assert 'value="nod-2"' in asked


async def test_a_silence_that_ended_meanwhile_is_not_found():
    client = await logged_in(FakeGateway())
    assert (await client.get("/do/silence.lift/sil-9")).status_code == 404


def test_a_form_that_is_sent_twice_means_the_same_moment():
    (first, name), *_ = lengths(NOON)
    assert (first, name) == ("2026-05-04T13:00:00+00:00", "1 hour")
    assert lengths(NOON.replace(hour=14), first)[0][0] == first


async def test_a_message_is_sent_again_by_its_id():
    gateway = FakeGateway()
    client = await logged_in(gateway)
    page = (await client.get("/webhooks/whk-1")).text
    (link,) = re.findall(r'href="(/do/webhook.resend/[^"]+)"', page)
    assert 'name="message_id" value="msg-1"' in (await client.get(link)).text
    did = await client.post("/do/webhook.resend/whk-1", data={"message_id": "msg-1"})
    assert did.headers["location"].startswith("/webhooks/whk-1?")
    assert gateway.done[0][:3] == ("POST", "/webhooks/whk-1/deliveries/msg-1/resend", None)


def test_only_the_newest_attempt_of_what_means_something_can_be_sent_again():
    said = [a_delivery(3), a_delivery(2, state="failing"), a_delivery(1, message_id="msg-2")]
    rows = delivery_rows(said, {"nod-1": "gpu-1"}, "standard", NOON)
    assert [row.can_resend for row in rows] == [True, False, True]
    assert (rows[0].subject, rows[0].answer, rows[1].tone) == ("gpu-1", "it answered 500", "warn")
    test = a_delivery(message={"message_type": "alert.test"})
    assert not delivery_rows([test], {}, "standard", NOON)[0].can_resend
    assert not delivery_rows(said, {}, "alertmanager", NOON)[0].can_resend


def test_a_changed_limit_stands_beside_what_is_usual():
    (row,) = rule_rows([a_rule()])
    assert [(each.name, each.value, each.usual, each.is_usual) for each in row.limits] == [
        ("calm", "60 s", "30 s", False)
    ]
