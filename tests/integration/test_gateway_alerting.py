"""Alert rules, silences, kinds of webhooks, tests and messages again, as people ask for them."""

from datetime import UTC, datetime, timedelta

import pytest

from contracts.events import alert as a
from tests.gateway_door import Door, a_door

HOOK = {"url": "https://example.org/hook"}
MANAGER = {"url": "https://alertmanager.example:9093", "kind": "alertmanager"}
MESSAGE = {
    "message_id": "event-1",
    "message_type": "alert.raised",
    "alert_id": "node_offline:n:1",
    "subject": "n",
    "at": "2026-11-21T12:00:00Z",
    "data": {"rule": "node_offline"},
}


@pytest.fixture
async def door():
    async with a_door() as made:
        yield made


async def got(door: Door, path: str):
    response = await door.client.get(f"/api/v1{path}")
    assert response.status_code == 200, response.text
    return response.json()["data"]


async def put(door: Door, path: str, body):
    return await door.client.put(f"/api/v1{path}", json=body)


async def test_a_rule_is_configured_limit_by_limit_and_shown_with_its_bounds(door: Door):
    before = {each["rule"]: each for each in (await got(door, "/alerts/rules"))["items"]}
    assert before["queue_growth"]["limits"] == {"factor": 2.0, "messages": 10.0}
    assert before["queue_growth"]["bounds"]["factor"]["least"] == 1
    path = "/alerts/rules/queue_growth"
    changed = (await put(door, path, {"limits": {"factor": 3}})).json()["data"]
    assert changed["limits"] == {"factor": 3.0, "messages": 10.0}
    assert await got(door, path) == changed
    await put(door, path, {"enabled": False, "limits": {"messages": 50}})
    back = (await put(door, path, {"limits": {"factor": None}})).json()["data"]
    assert (back["limits"], back["enabled"]) == ({"factor": 2.0, "messages": 50.0}, False)
    event = door.world.facts(a.AlertRuleConfigured)[-1]
    assert (event.rule, event.enabled, event.limits) == ("queue_growth", False, {"messages": 50.0})


async def test_the_same_again_records_nothing(door: Door):
    await put(door, "/alerts/rules/node_offline", {"limits": {"calm_s": 5}})
    await put(door, "/alerts/rules/node_offline", {"limits": {"calm_s": 5}})
    assert len(door.world.facts(a.AlertRuleConfigured)) == 1


@pytest.mark.parametrize(
    ("rule", "body", "status", "field"),
    [
        ("none", {"enabled": False}, 404, None),
        ("queue_growth", {"limits": {"height": 1}}, 422, "limits.height"),
        ("queue_growth", {"limits": {"factor": 0}}, 422, "limits.factor"),
        ("queue_growth", {"limits": {"factor": True}}, 422, "limits.factor"),
        ("queue_growth", {"on": True}, 422, "on"),
    ],
)
async def test_what_does_not_fit_a_rule_is_refused_by_name(door: Door, rule, body, status, field):
    response = await put(door, f"/alerts/rules/{rule}", body)
    assert response.status_code == status
    if field:
        assert field in response.json()["errors"][0]["field"]


async def test_a_rule_that_is_not_there_is_not_shown(door: Door):
    assert (await door.client.get("/api/v1/alerts/rules/none")).status_code == 404


async def test_silences_begin_are_shown_while_they_last_and_are_lifted(door: Door):
    now = datetime.now(UTC)
    lasting = {"until": (now + timedelta(hours=1)).isoformat(), "rule": "node_offline"}
    past = {"until": (now - timedelta(hours=1)).isoformat(), "subject": "n"}
    made = await door.made("/alerts/silences", {**lasting, "because": "moving"})
    await door.made("/alerts/silences", past)
    (shown,) = (await got(door, "/alerts/silences"))["items"]
    assert (shown["id"], shown["rule"], shown["because"]) == (made["id"], "node_offline", "moving")
    lifted = await door.client.delete(f"/api/v1/alerts/silences/{made['id']}")
    assert lifted.json()["data"] == {"id": made["id"], "lifted": True}
    assert (await got(door, "/alerts/silences"))["items"] == []
    again = await door.client.delete(f"/api/v1/alerts/silences/{made['id']}")
    assert again.status_code == 404


@pytest.mark.parametrize(
    "body",
    [{}, {"until": "tomorrow"}, {"until": "2030-01-01T00:00:00"}],
)
async def test_a_silence_has_an_end_with_a_zone(door: Door, body):
    assert (await door.post("/alerts/silences", body)).status_code == 422


async def test_a_silence_of_no_rule_that_we_have_is_refused(door: Door):
    body = {"until": "2036-01-01T00:00:00Z", "rule": "none"}
    response = await door.post("/alerts/silences", body)
    assert (response.status_code, response.json()["errors"][0]["field"]) == (422, "rule")


async def test_an_alertmanager_has_a_token_or_none_and_never_a_signature(door: Door):
    plain = await door.made("/webhooks", MANAGER)
    assert (plain["kind"], plain["has_secret"], "secret" in plain) == ("alertmanager", False, False)
    guarded = await door.made("/webhooks", {**MANAGER, "bearer_token": "let-me-in"})
    assert (guarded["has_secret"], "secret" in guarded) == (True, False)
    signed = await door.made("/webhooks", HOOK)
    assert (signed["kind"], signed["secret"][:6]) == ("standard", "whsec_")
    for wrong in ({**HOOK, "bearer_token": "x"}, {**MANAGER, "secret": "whsec_" + "A" * 32}):
        assert (await door.post("/webhooks", wrong)).status_code == 422
    key = "whsec_" + "A" * 32
    for id_, field, value in (
        (signed["id"], "bearer_token", "x"),
        (plain["id"], "secret", key),
        (plain["id"], "rotate_secret", True),
    ):
        refused = await put(door, f"/webhooks/{id_}", {field: value})
        assert refused.status_code == 422
        assert [each["field"] for each in refused.json()["errors"]] == [field]
    path = f"/webhooks/{plain['id']}"
    assert (await put(door, path, {"bearer_token": "x"})).json()["data"]["has_secret"]


async def test_a_webhook_moves_only_to_where_messages_would_go(door: Door):
    webhook = await door.made("/webhooks", HOOK)
    for wrong in ("http://example.org/", "https://127.0.0.1/"):
        refused = await put(door, f"/webhooks/{webhook['id']}", {"url": wrong})
        assert (refused.status_code, refused.json()["errors"][0]["field"]) == (422, "url")


async def test_what_the_settings_allow_may_be_registered():
    allowed = {"webhook_networks": "10.0.0.0/8", "webhook_allow_http": True}
    async with a_door(**allowed) as door:
        await door.made("/webhooks", {**HOOK, "url": "http://10.1.2.3:9093/"})
        refused = await door.post("/webhooks", {**HOOK, "url": "http://192.168.1.1/"})
        assert refused.json()["errors"][0]["field"] == "url"


async def test_a_test_is_taken_on_under_an_id_that_its_delivery_has(door: Door):
    webhook = await door.made("/webhooks", HOOK)
    response = await door.post(f"/webhooks/{webhook['id']}/test")
    assert response.status_code == 202
    (event,) = door.world.facts(a.WebhookTestAsked)
    data = response.json()["data"]
    assert data == {"webhook_id": webhook["id"], "message_id": event.message_id}
    assert (await door.post("/webhooks/none/test")).status_code == 404
    # What is asked of it does not change it: its version is as it was.
    changed = await put(door, f"/webhooks/{webhook['id']}", {"url": "https://example.org/b"})
    assert changed.json()["data"]["version"] == 2


async def test_deliveries_are_read_as_the_query_service_tells_them(door: Door):
    door.query.answers["/webhooks/w/deliveries"] = (200, {"items": [], "next_cursor": None})
    assert (await got(door, "/webhooks/w/deliveries?message_id=event-1"))["items"] == []
    assert "message_id=event-1" in str(door.query.asked[-1].url)


async def test_a_message_is_sent_again_as_the_delivery_log_has_it(door: Door):
    webhook = await door.made("/webhooks", HOOK)
    place = f"/webhooks/{webhook['id']}/deliveries"
    door.query.answers[place] = (200, {"items": [{"message": MESSAGE}], "next_cursor": None})
    response = await door.post(f"{place}/event-1/resend")
    assert response.status_code == 202
    assert dict(door.query.asked[-1].url.params)["message_id"] == "event-1"
    (event,) = door.world.facts(a.WebhookResendAsked)
    sent = event.model_dump(mode="json")
    assert sent == {"webhook_id": webhook["id"], **MESSAGE}


@pytest.mark.parametrize(
    ("hook", "items", "status"),
    [
        (HOOK, [], 404),
        (HOOK, [{"message": {**MESSAGE, "message_type": "alert.test"}}], 422),
        (MANAGER, [{"message": MESSAGE}], 422),
    ],
)
async def test_what_cannot_be_sent_again_is_refused(door: Door, hook, items, status):
    webhook = await door.made("/webhooks", hook)
    place = f"/webhooks/{webhook['id']}/deliveries"
    door.query.answers[place] = (200, {"items": items, "next_cursor": None})
    assert (await door.post(f"{place}/event-1/resend")).status_code == status
    assert door.world.facts(a.WebhookResendAsked) == []


async def test_nothing_is_sent_again_to_a_webhook_that_is_gone(door: Door):
    place = "/webhooks/none/deliveries"
    door.query.answers[place] = (200, {"items": [{"message": MESSAGE}], "next_cursor": None})
    assert (await door.post(f"{place}/event-1/resend")).status_code == 404


async def test_one_alert_is_read_by_its_id(door: Door):
    door.query.answers["/alerts/node_offline:n 1:7"] = (200, {"alert_id": "node_offline:n 1:7"})
    found = await got(door, "/alerts/node_offline:n%201:7")
    assert found["alert_id"] == "node_offline:n 1:7"
