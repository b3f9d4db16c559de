"""Alerts over real HTTP beside the plain webhooks: Alertmanager, tests, messages again, lag."""

import asyncio
import base64
import os
import socket
import sys
from datetime import datetime
from pathlib import Path

import orjson
import pytest

from contracts.envelope import Draft
from contracts.events import alert as a
from contracts.events import node as n
from services.alerter.adapters.webhook import WebhookDoor
from services.alerter.decide import Cry, Letter
from services.chassis.clock import SystemClock
from services.chassis.ports import Message
from services.chassis.webhook_targets import WebhookTargets
from services.journal.lag import Lag, Reached
from tests.alerting import alerting
from tests.fake_vault import a_vault
from tests.fake_webhook import FakeWebhook
from tests.in_memory import a_world, until

EXAMPLE = Path(__file__).parents[2] / "deploy" / "examples" / "receiver.py"
SECRET = "whsec_" + base64.b64encode(b"a secret of the receiver's own").decode()


@pytest.fixture
async def world():
    async with a_world() as made, a_vault(made) as vault:
        vault.keep("signing", SECRET)
        vault.keep("token", "let-me-in")
        yield made


@pytest.fixture
async def receiver():
    async with FakeWebhook() as made:
        yield made


async def register(world, receiver, kept_as="signing", kind="standard"):
    event = a.WebhookRegistered(
        webhook_id="w", url=receiver.url, secret={"secret_id": kept_as, "version": 1}, kind=kind
    )
    await world.record("gateway", Draft("webhook/w", event))


async def node(world, event):
    await world.as_leader("node_monitor", Draft("node/node-1", event))


def posted(receiver):
    """Return all alerts that were posted, in order."""
    return [alert for _, body in receiver.received for alert in orjson.loads(body)]


async def test_an_alertmanager_is_told_and_told_again_until_it_is_over(world, receiver):
    async with alerting(world, alertmanager_resend=0.1):
        await register(world, receiver, kept_as="token", kind="alertmanager")
        await node(world, n.NodeWentOffline(node_id="node-1", silent_s=12, error="no answer"))
        await until(lambda: len(receiver.received) >= 3)
        await node(world, n.NodeCameOnline(node_id="node-1", boot_id="b"))
        await until(lambda: len(world.facts(a.AlertDelivered)) == 2)
        told = len(receiver.received)
    headers = receiver.received[0][0]
    assert headers["path"] == "/hook/api/v2/alerts?a=b"
    assert headers["authorization"] == "Bearer let-me-in"
    assert headers["content-type"] == "application/json"
    alerts = posted(receiver)
    assert len({orjson.dumps(each["labels"]) for each in alerts}) == 1
    assert len({each["startsAt"] for each in alerts}) == 1
    ends = [datetime.fromisoformat(each["endsAt"]) for each in alerts]
    assert ends[0] < ends[1] < ends[2]  # each says that it lasts longer
    assert ends[-1] < ends[-2]  # the last word is that it is over
    assert len(receiver.received) == told
    assert len(world.facts(a.AlertDelivered)) == 2  # reminders are no facts


async def test_a_test_arrives_signed_and_its_delivery_is_recorded(world, receiver):
    async with alerting(world):
        await register(world, receiver)
        asked = a.WebhookTestAsked(webhook_id="w", message_id="test-1")
        await world.record("gateway", Draft("webhook-asked/w", asked))
        (delivered,) = await until(lambda: world.facts(a.AlertDelivered))
    assert (delivered.message_id, delivered.message_type) == ("test-1", "alert.test")
    headers, body = receiver.received[0]
    assert headers["webhook-id"] == "test-1"
    assert "webhook-signature" in headers
    assert orjson.loads(body)["type"] == "alert.test"


async def test_a_message_that_was_given_up_is_sent_again_when_somebody_asks(world, receiver):
    receiver.statuses = [500] * 7
    async with alerting(world, webhook_retry_scale=1e-6):
        await register(world, receiver)
        await node(world, n.NodeWentOffline(node_id="node-1", silent_s=12, error="no answer"))
        await until(lambda: world.facts(a.AlertDeliveryFailed, gives_up=True))
        failed, raised = world.facts(a.AlertDeliveryFailed)[0], world.facts(a.AlertRaised)[0]
        again = a.WebhookResendAsked(
            webhook_id="w",
            message_id=failed.message_id,
            message_type="alert.raised",
            alert_id=failed.alert_id,
            subject=raised.subject,
            at=world.clock.now(),
            data=raised.model_dump(mode="json"),
        )
        await world.record("gateway", Draft("webhook-asked/w", again))
        await until(lambda: world.facts(a.AlertDelivered, message_id=failed.message_id))
    assert {headers["webhook-id"] for headers, _ in receiver.received} == {failed.message_id}


async def test_what_is_parked_is_an_alert_until_it_is_gone(world, receiver):
    bus = world.broker.bus("cli")
    async with alerting(world):
        await bus.publish("qm.parked", "parked", Message(b"nonsense"), mandatory=True)
        (raised,) = await until(lambda: world.facts(a.AlertRaised))
        assert (raised.rule, raised.evidence) == ("messages_parked", {"messages": 1})
        world.broker.queue("qm.parked").letters.clear()
        await until(lambda: world.facts(a.AlertResolved, rule="messages_parked"))
    await bus.close()


async def test_read_models_far_behind_are_an_alert_until_they_are_near(world):
    now = world.clock.now()
    longer_ago = now.replace(year=now.year - 1)
    behind = Lag(9, now, Reached(9), Reached(1, longer_ago))

    async def lag():
        return behind

    world.log.lag = lag
    async with alerting(world):
        (raised,) = await until(lambda: world.facts(a.AlertRaised))
        assert raised.rule == "projector_lag"
        behind = Lag(9, now, Reached(9), Reached(9))
        await until(lambda: world.facts(a.AlertResolved, rule="projector_lag"))


async def test_when_nothing_is_published_any_more_webhooks_are_told_directly(world, receiver):
    async with alerting(world, log_silence_after=0.2):
        await register(world, receiver)
        await node(world, n.NodeWentOffline(node_id="node-1", silent_s=12, error="no answer"))
        await until(lambda: world.facts(a.AlertDelivered))
        stuck = Lag(9, world.clock.now(), Reached(1, world.clock.now().replace(year=2020)), None)

        async def lag():
            return stuck

        world.log.lag = lag
        cried = await until(
            lambda: [b for h, b in receiver.received if h["webhook-id"].startswith("log_silent")]
        )
    assert orjson.loads(cried[0])["data"]["rule"] == "log_silent"


async def test_the_example_of_a_receiver_takes_what_is_signed_and_nothing_else():
    port = a_port()
    receiver = await asyncio.create_subprocess_exec(
        sys.executable,
        str(EXAMPLE),
        str(port),
        env={**os.environ, "WEBHOOK_SECRET": SECRET},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    door = WebhookDoor(WebhookTargets(("127.0.0.0/8",), allow_http=True), SystemClock())
    body = Cry("h", 1, SystemClock().now()).message("alert.raised", SystemClock().now())
    letter = Letter(f"http://127.0.0.1:{port}/", body.id, body.model_dump_json().encode())

    async def posted_with(secret):
        async with asyncio.timeout(20):
            while (sent := await door.post(letter, secret)).error:
                await asyncio.sleep(0.05)
        return sent.status_code

    try:
        assert await posted_with("whsec_" + base64.b64encode(b"x" * 32).decode()) == 401
        assert await posted_with(None) == 401
        assert await posted_with(SECRET) == 204
        assert orjson.loads(await receiver.stdout.readline())["data"]["rule"] == "log_silent"
    finally:
        receiver.kill()
        await receiver.wait()
        await door.close()


def a_port():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]
