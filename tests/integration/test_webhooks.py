"""Alerts reach webhooks over real HTTP: signed, once, again after a failure, and nowhere else."""

import asyncio
import base64
import ssl
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
)
from standardwebhooks import Webhook

from contracts.envelope import Draft
from contracts.events import alert as a
from contracts.events import node as n
from contracts.http.webhook import AlertMessage
from services.alerter.adapters.webhook import WebhookDoor
from services.alerter.decide import Letter
from services.chassis.clock import SystemClock
from services.chassis.webhook_targets import PublicNetworks, WebhookTargets
from tests.alerting import alerting
from tests.fake_vault import a_vault
from tests.fake_webhook import FakeWebhook
from tests.in_memory import a_world, until

SECRET = "whsec_" + base64.b64encode(b"a secret of the receiver's own").decode()


@pytest.fixture
async def world():
    async with a_world() as made:
        yield made


@pytest.fixture
async def vault(world):
    async with a_vault(world) as made:
        made.keep("signing", SECRET)
        yield made


@pytest.fixture
async def receiver():
    async with FakeWebhook() as made:
        yield made


async def register(world, receiver, kept_as="signing", webhook_id="w"):
    ref = {"secret_id": kept_as, "version": 1} if kept_as else None
    event = a.WebhookRegistered(webhook_id=webhook_id, url=receiver.url, secret=ref)
    await world.record("gateway", Draft(f"webhook/{webhook_id}", event))


async def offline(world, node_id="node-1"):
    event = n.NodeWentOffline(node_id=node_id, silent_s=12, error="no answer")
    await world.as_leader("node_monitor", Draft(f"node/{node_id}", event))


async def online(world, node_id="node-1"):
    event = n.NodeCameOnline(node_id=node_id, boot_id="b")
    await world.as_leader("node_monitor", Draft(f"node/{node_id}", event))


def opened(headers, body):
    """Return the message, once its signature is checked by the receiver's own library."""
    return AlertMessage.model_validate(Webhook(SECRET).verify(body, headers))


async def test_an_alert_and_its_end_arrive_signed_as_cloud_events(world, vault, receiver):
    async with alerting(world):
        await register(world, receiver)
        await offline(world)
        await until(lambda: len(receiver.received) == 1)
        await online(world)
        await until(lambda: len(world.facts(a.AlertDelivered)) == 2)
    raised, resolved = (opened(*one) for one in receiver.received)
    assert (raised.type, raised.data["rule"]) == ("alert.raised", "node_offline")
    assert resolved.type == "alert.resolved"
    assert raised.data["alert_id"] == resolved.data["alert_id"]
    headers = receiver.received[0][0]
    assert headers["content-type"] == "application/cloudevents+json"
    assert headers["webhook-id"] == raised.id == world.facts(a.AlertDelivered)[0].message_id
    assert headers["host"] == f"127.0.0.1:{receiver.port}"
    assert headers["path"] == "/hook?a=b"


async def test_a_failed_delivery_is_tried_again_with_the_same_id(world, vault, receiver):
    receiver.statuses = [503]
    async with alerting(world):
        await register(world, receiver)
        await offline(world)
        await until(lambda: world.facts(a.AlertDelivered))
    first, second = receiver.received
    assert opened(*first) == opened(*second)
    failed = world.facts(a.AlertDeliveryFailed)[0]
    assert (failed.attempt, failed.status_code, failed.gives_up) == (1, 503, False)
    assert world.facts(a.AlertDelivered)[0].attempt == 2


async def test_a_restarted_alerter_goes_on_and_repeats_nothing(world, vault, receiver):
    async with FakeWebhook(statuses=[500]) as failing:
        async with alerting(world, webhook_retry_scale=100):
            await register(world, receiver)
            await register(world, failing, webhook_id="failing")
            await offline(world)
            await until(lambda: world.facts(a.AlertDelivered))
            await until(lambda: world.facts(a.AlertDeliveryFailed))
        async with alerting(world):
            await until(lambda: world.facts(a.AlertDelivered, webhook_id="failing"))
    assert len(receiver.received) == 1
    assert len(world.facts(a.AlertRaised)) == 1
    assert world.facts(a.AlertDelivered, webhook_id="failing")[0].attempt == 2


async def test_a_webhook_that_answers_gone_gets_nothing_more(world, vault, receiver):
    receiver.statuses = [410]
    async with alerting(world), FakeWebhook() as other:
        await register(world, receiver)
        await register(world, other, webhook_id="other")
        await offline(world)
        await until(lambda: world.facts(a.AlertDeliveryFailed, gives_up=True))
        await online(world)
        await until(lambda: len(other.received) == 2)
    assert len(receiver.received) == 1


async def test_a_webhook_that_hangs_delays_no_other(world, vault, receiver):
    async with FakeWebhook(silent=True) as hanging, alerting(world):
        await register(world, hanging, webhook_id="hanging")
        await register(world, receiver)
        await offline(world)
        await until(lambda: world.facts(a.AlertDelivered, webhook_id="w"))
        failed = (await until(lambda: world.facts(a.AlertDeliveryFailed)))[0]
    assert failed.error == "no answer in 0.5 s"


async def test_a_redirect_is_not_followed(world, vault, receiver):
    receiver.statuses = [302]
    async with alerting(world):
        await register(world, receiver)
        await offline(world)
        failed = (await until(lambda: world.facts(a.AlertDeliveryFailed)))[0]
        await until(lambda: world.facts(a.AlertDelivered))
    assert failed.status_code == 302


async def test_without_its_secret_a_message_is_not_sent_unsigned(world, vault, receiver):
    async with alerting(world):
        await register(world, receiver, kept_as="unknown")
        await offline(world)
        failed = (await until(lambda: world.facts(a.AlertDeliveryFailed)))[0]
    assert "the vault does not open unknown" in failed.error
    assert receiver.received == []


async def test_when_the_log_falls_silent_webhooks_are_told_directly(world, vault, receiver):
    async with alerting(world, log_silence_after=0.2) as bus:
        await register(world, receiver)
        await offline(world)
        await until(lambda: world.facts(a.AlertDelivered))
        await until(lambda: "signing" in vault.asked)
        world.broker.is_up = False
        bus.cut()
        await until(lambda: len(receiver.received) == 2)
        cried = opened(*receiver.received[1])
        assert (cried.data["rule"], cried.type) == ("log_silent", "alert.raised")
        world.broker.is_up = True
        await until(lambda: len(receiver.received) == 3)
        assert opened(*receiver.received[2]).type == "alert.resolved"


# The door alone: where it goes, and where it never does.


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("http://127.0.0.1/", "must begin with https"),
        ("ftp://example.org/", "must begin with https"),
        ("https://user:pass@127.0.0.1/", "no user"),
        ("https:///path", "must name a host"),
        ("https://[::1/", "not a URL"),
        ("https://127.0.0.1:99999/", "not a URL"),
        ("https://127.0.0.1/", "in no network"),
        ("https://[::ffff:127.0.0.1]/", "in no network"),
        ("https://169.254.169.254/latest/meta-data", "in no network"),
        ("https://10.1.2.3/", "in no network"),
        ("https://localhost/", "in no network"),
        ("https://0.0.0.0/", "in no network"),
    ],
)
async def test_the_door_refuses_addresses_it_must_not_go_to(url, why):
    door = WebhookDoor(WebhookTargets(()), SystemClock())
    try:
        sent = await door.post(Letter(url, "id", b"{}"), None)
    finally:
        await door.close()
    assert why in sent.error


async def test_a_token_that_cannot_travel_is_said_and_not_quoted():
    door = WebhookDoor(WebhookTargets(("127.0.0.0/8",), allow_http=True), SystemClock())
    letter = Letter("http://127.0.0.1:1/", "id", b"{}", kind="alertmanager")
    try:
        sent = await door.post(letter, "s3cret\u2026")
    finally:
        await door.close()
    assert sent.error == "the token has characters that no header can carry"


@pytest.mark.parametrize(
    ("address", "allowed"),
    [
        ("93.184.216.34", True),
        ("2606:2800:220:1::1", True),
        ("::ffff:93.184.216.34", True),
        ("::ffff:10.0.0.1", False),
        ("2002:7f00:1::", False),
        ("64:ff9b::7f00:1", False),
        ("64:ff9b::5db8:d822", True),
        ("224.0.0.1", False),
        ("ff02::1", False),
        ("fe80::1", False),
        ("100.64.0.1", False),
        ("255.255.255.255", False),
        ("::", False),
        ("192.168.7.1", True),
    ],
)
def test_only_public_addresses_and_our_listed_ones_are_allowed(address, allowed):
    assert PublicNetworks(("192.168.7.0/24",)).allows(ip_address(address)) is allowed


def test_a_secret_that_is_not_base64_is_said_and_not_sent():
    async def post():
        door = WebhookDoor(WebhookTargets(("127.0.0.0/8",), allow_http=True), SystemClock())
        try:
            return await door.post(Letter("http://127.0.0.1:1/", "id", b"{}"), "whsec_a")
        finally:
            await door.close()

    assert asyncio.run(post()).error == "the webhook's secret is not base64"


async def test_the_checked_address_is_connected_to_in_the_name_that_was_asked_for(tmp_path):
    context, ca = a_certificate(tmp_path, "localhost")
    async with FakeWebhook(scheme="https", host="localhost", context=context) as receiver:
        door = WebhookDoor(WebhookTargets(("127.0.0.0/8", "::1/128")), SystemClock(), ca=ca)
        trusting_nobody = WebhookDoor(WebhookTargets(("127.0.0.0/8", "::1/128")), SystemClock())
        try:
            assert (await door.post(Letter(receiver.url, "id", b"{}"), None)).status_code == 204
            assert (
                "not sent"
                in (await trusting_nobody.post(Letter(receiver.url, "id", b""), None)).error
            )
        finally:
            await door.close()
            await trusting_nobody.close()
    assert receiver.received[0][0]["host"] == f"localhost:{receiver.port}"


def a_certificate(folder, name):
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .sign(key, hashes.SHA256())
    )
    public, private = folder / "cert.pem", folder / "key.pem"
    public.write_bytes(certificate.public_bytes(Encoding.PEM))
    private.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(public, private)
    return context, str(public)
