"""The queue sampler against Management APIs over real HTTP, with broker and log in memory."""

import asyncio
from contextlib import asynccontextmanager

import pytest

from contracts.envelope import Draft
from contracts.events.model import ModelDeleted, ModelRegistered, ModelUpdated
from contracts.events.queue import QueueRecovered, QueueSampled, QueueUnreachable
from contracts.types import Launch, QueueAddress
from services.queue_sampler.service import sample
from services.queue_sampler.settings import Settings
from tests.fake_management import FakeManagement
from tests.fake_vault import a_vault
from tests.in_memory import a_world, ended, until

FAST = {
    "queue_sample_interval": 0.3,
    "queue_probe_interval": 0.05,
    "queue_sample_timeout": 0.5,
    "queue_probe": False,
}


@pytest.fixture
async def world():
    async with a_world() as made:
        yield made


@pytest.fixture
async def vault(world):
    async with a_vault(world) as made:
        made.keep("right", "right")
        made.keep("wrong", "wrong")
        yield made


@pytest.fixture
async def api():
    async with FakeManagement() as made:
        yield made


@asynccontextmanager
async def sampling(world, **settings):
    bus = world.broker.bus("queue_sampler")
    context = world.context("queue_sampler")
    task = asyncio.create_task(sample(context, bus, Settings(**{**FAST, **settings})))
    try:
        yield context
    finally:
        await ended(task)
        await bus.close()


def a_model(api, model_id="m", queue="llama", kept_as="right", **different):
    address = {
        "host": "127.0.0.1",
        "port": api.port,
        "amqp_port": 1,
        "name": queue,
        "username": "sampler",
        "password": {"secret_id": kept_as, "version": 1} if kept_as else None,
        **different,
    }
    return ModelRegistered(
        model_id=model_id,
        environment_id="e",
        name=model_id,
        queue=QueueAddress.model_validate(address),
        average_inference_time_s=1.0,
        launch=Launch(template="echo"),
    )


async def register(world, event):
    await world.record("gateway", Draft(f"model/{event.model_id}", event))


async def sampled(world, **where):
    return (await until(lambda: world.facts(QueueSampled, **where)))[-1]


async def unreachable(world, code, model_id="m"):
    return (await until(lambda: world.facts(QueueUnreachable, code=code, model_id=model_id), code))[
        -1
    ]


async def test_a_new_model_is_sampled_at_once_and_then_in_its_turn(world, vault, api):
    api.hold("%2F/llama", 3, 4, message_stats={"publish": 99})
    async with sampling(world):
        await register(world, a_model(api))
        event = await sampled(world, model_id="m")
        assert (event.length, event.ready, event.unacknowledged) == (7, 3, 4)
        assert (event.published_total, event.source) == (99, "management")
        api.hold("%2F/llama", 5)
        await sampled(world, length=5)
    assert vault.asked == ["right"]


async def test_every_name_is_percent_encoded(world, vault, api):
    api.hold("a%2Fb/q%20%2F%25%3F%23%C3%A9", 1)
    async with sampling(world):
        await register(world, a_model(api, queue="q /%?#é", vhost="a/b"))
        await sampled(world, length=1)


@pytest.mark.parametrize(
    ("secret", "answer", "code"),
    [
        ("wrong", None, "unauthorized"),
        ("right", (403, b"{}"), "unauthorized"),
        ("right", None, "not_found"),
        ("unknown", None, "no_secret"),
        (None, None, "no_secret"),
        ("right", (500, b"{}"), "bad_answer"),
        ("right", (301, b"{}"), "bad_answer"),
        ("right", (200, b"<html>"), "bad_answer"),
        ("right", (200, b"[]"), "bad_answer"),
        ("right", (200, b"{}"), "bad_answer"),
        ("right", (200, b'{"name": "q", "messages_ready": -1}'), "bad_answer"),
        ("right", (200, b'{"name": "q", "messages_ready": true}'), "bad_answer"),
        ("right", (200, b'{"name": "q", "messages_ready": 1}'), "bad_answer"),
        ("right", (200, b" " * 1_100_000), "bad_answer"),
    ],
)
async def test_a_queue_that_cannot_be_read_is_said_once_and_never_as_a_zero(
    world, vault, api, secret, answer, code
):
    if answer:
        api.answers["%2F/llama"] = answer
    async with sampling(world):
        await register(world, a_model(api, kept_as=secret))
        await unreachable(world, code)
        asked = len(api.asked) + len(vault.asked)
        await until(lambda: secret is None or len(api.asked) + len(vault.asked) >= asked + 3)
        assert len(world.facts(QueueUnreachable)) == 1
        assert world.facts(QueueSampled) == []


async def test_a_broker_that_is_back_is_said_once(world, vault, api):
    api.hold("%2F/llama", 2)
    async with sampling(world):
        await register(world, a_model(api))
        await sampled(world)
        await api.stop()
        await unreachable(world, "unreachable")
        await api.__aenter__()
        await until(lambda: world.facts(QueueRecovered))
        await sampled(world, length=2)
        asked = len(api.asked)
        await until(lambda: len(api.asked) >= asked + 2)
    assert len(world.facts(QueueRecovered)) == 1


async def test_a_queue_that_is_not_counted_yet_is_asked_again_soon(world, vault, api):
    api.answers["%2F/llama"] = (200, b'{"name": "llama", "state": "running"}')
    async with sampling(world, queue_sample_interval=600):
        await register(world, a_model(api))
        await until(lambda: len(api.asked) >= 3)
        assert world.facts(QueueUnreachable) + world.facts(QueueSampled) == []


async def test_a_slow_broker_delays_nobody(world, vault, api):
    async with FakeManagement() as slow:
        slow.slow.add("%2F/llama")
        api.hold("%2F/quick", 1)
        async with sampling(world, queue_sample_timeout=30):
            for number in range(20):
                await register(world, a_model(slow, f"slow-{number}"))
            await register(world, a_model(api, "quick", "quick"))
            await until(lambda: len(world.facts(QueueSampled, model_id="quick")) >= 3)
            assert slow.most_open == 8


async def test_a_broker_outside_of_the_allowed_networks_is_never_connected_to(world, vault, api):
    async with sampling(world, broker_networks="10.0.0.0/8"):
        await register(world, a_model(api))
        event = await unreachable(world, "unreachable")
        assert "in no network" in event.detail
    assert api.asked == []


async def test_a_queue_that_moved_is_read_at_its_new_place(world, vault, api):
    api.hold("%2F/llama", 1)
    api.hold("%2F/other", 2)
    async with sampling(world, queue_sample_interval=600):
        await register(world, a_model(api))
        await sampled(world, length=1)
        moved = ModelUpdated(**a_model(api, queue="other").model_dump())
        await register(world, moved)
        await sampled(world, length=2)


async def test_a_deleted_model_is_asked_no_more(world, vault, api):
    api.hold("%2F/llama", 1)
    api.hold("%2F/other", 1)
    async with sampling(world):
        await register(world, a_model(api))
        await sampled(world, model_id="m")
        await register(world, ModelDeleted(model_id="m"))
        await register(world, a_model(api, "n", "other"))
        await sampled(world, model_id="n")
        asked = api.asked.count("%2F/llama")
        await until(lambda: api.asked.count("%2F/other") >= 3)
        assert api.asked.count("%2F/llama") == asked


async def test_no_password_is_in_the_log(world, vault, api):
    vault.keep("canary", "canary-7d1f")
    async with sampling(world):
        await register(world, a_model(api, kept_as="canary"))
        await unreachable(world, "unauthorized")
    assert not any(b"canary-7d1f" in row["data"] for row in world.log._rows)
