"""The queue sampler against a real RabbitMQ: both kinds of queue, both ways of asking."""

import asyncio
from contextlib import asynccontextmanager
from urllib.parse import urlsplit
from uuid import uuid4

import aio_pika
import pytest

from contracts.envelope import Draft
from contracts.events.model import ModelRegistered
from contracts.events.queue import QueueSampled, QueueUnreachable
from contracts.types import Launch, QueueAddress, SecretRef
from services.chassis.clock import SystemClock
from services.chassis.targets import AllowList
from services.queue_sampler.adapters.management import ManagementApi
from services.queue_sampler.adapters.passive import PassiveDeclare
from services.queue_sampler.service import sample
from services.queue_sampler.settings import Settings
from services.queue_sampler.state import Failure, NotYet, Probe, Reading
from tests.fake_vault import a_vault
from tests.in_memory import a_world, ended, until

LOOPBACK = AllowList(("127.0.0.0/8",))
LOOK = {"configure": "^$", "write": "^$", "read": ".*"}
ALL = {"configure": ".*", "write": ".*", "read": ".*"}


@pytest.fixture(scope="module")
def password(broker):
    return urlsplit(broker.url("sampler")).password


@pytest.fixture(scope="module", params=["own", "/"])
def vhost(broker, request):
    name = broker.vhost if request.param == "own" else "/"
    quoted = name.replace("/", "%2F")
    broker.api("PUT", f"vhosts/{quoted}", {}).raise_for_status()
    for user, rights in (("sampler", LOOK), ("models", ALL)):
        broker.api("PUT", f"permissions/{quoted}/{user}", rights).raise_for_status()
    return name


@pytest.fixture
async def models(broker, vhost):
    """A channel of whoever feeds the models' queues."""
    port = broker.engines.amqp_port
    secret = urlsplit(broker.url("models")).password
    connection = await aio_pika.connect(
        host="127.0.0.1", port=port, login="models", password=secret, virtualhost=vhost
    )
    async with connection:
        yield await connection.channel()


@pytest.fixture(params=["quorum", "classic"])
async def queue(models, request):
    name = f"q {uuid4().hex[:8]}/@#,:"
    made = await models.declare_queue(name, durable=True, arguments={"x-queue-type": request.param})
    yield made
    await models.queue_delete(name)


@pytest.fixture
async def api():
    made = ManagementApi(LOOPBACK, timeout_s=5)
    yield made
    await made.close()


@pytest.fixture
async def passive():
    made = PassiveDeclare(LOOPBACK, SystemClock(), timeout_s=5)
    yield made
    await made.close()


def address(broker, vhost, name, **different):
    known = {
        "host": "127.0.0.1",
        "port": broker.engines.management_port,
        "amqp_port": broker.engines.amqp_port,
        "vhost": vhost,
        "name": name,
        "username": "sampler",
        "password": SecretRef(secret_id="right", version=1),
    }
    return QueueAddress.model_validate({**known, **different})


async def fill(models, queue, ready, taken=0):
    """Put messages into a queue, and take some without an acknowledgement."""
    for _ in range(ready + taken):
        await models.default_exchange.publish(aio_pika.Message(b"work"), queue.name)
    for _ in range(taken):
        await queue.get()


async def counted(read, expected):
    """Ask until the broker has counted what is there: it does so every few seconds."""
    async with asyncio.timeout(30):
        while True:
            answer = await read()
            assert isinstance(answer, Reading | NotYet)
            if isinstance(answer, Reading) and (answer.ready, answer.unacknowledged) == expected:
                return answer
            await asyncio.sleep(0.3)


async def test_both_kinds_of_queue_tell_ready_and_unacknowledged(
    broker, vhost, password, models, queue, api
):
    await fill(models, queue, 3, taken=2)
    where = address(broker, vhost, queue.name)
    reading = await counted(lambda: api.read(where, password), (3, 2))
    assert reading.published_total in (0, 5)  # its statistics come a moment later


async def test_a_probe_tells_at_once_what_is_ready(broker, vhost, password, models, queue, passive):
    where = address(broker, vhost, queue.name)
    assert await passive.probe(where, password) == Probe(0, 0)
    await fill(models, queue, 4)
    async with asyncio.timeout(10):
        while await passive.probe(where, password) != Probe(4, 0):
            await asyncio.sleep(0.05)


async def test_a_wrong_password_and_a_missing_queue_are_told_apart(
    broker, vhost, password, queue, api, passive
):
    missing = address(broker, vhost, "nobody")
    rotated = address(broker, vhost, queue.name, password=SecretRef(secret_id="right", version=2))
    for read in (api.read, passive.probe):
        assert (await read(missing, password)).code == "not_found"
        assert (await read(rotated, "wrong")).code == "unauthorized"


async def test_a_name_that_cannot_be_asked_over_amqp_harms_no_other(
    broker, vhost, password, queue, passive
):
    odd, there = address(broker, vhost, "50%é"), address(broker, vhost, queue.name)
    assert await passive.probe(there, password) == Probe(0, 0)
    assert (await passive.probe(odd, password)).code == "bad_answer"
    assert await passive.probe(there, password) == Probe(0, 0)


async def test_a_missing_queue_does_not_hide_the_others_of_its_broker(
    broker, vhost, password, queue, passive
):
    there = address(broker, vhost, queue.name)
    missing = address(broker, vhost, "nobody")
    for _ in range(3):
        assert (await passive.probe(missing, password)).code == "not_found"
        assert await passive.probe(there, password) == Probe(0, 0)


class Relay:
    """A way to the broker that can be cut and opened again."""

    def __init__(self, port):
        self._target, self.port, self._writers = port, 0, set()

    async def open(self):
        self._server = await asyncio.start_server(self._join, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def cut(self):
        self._server.close()
        for writer in list(self._writers):
            writer.close()

    async def _join(self, reader, writer):
        theirs, ours = await asyncio.open_connection("127.0.0.1", self._target)
        self._writers |= {writer, ours}
        await asyncio.gather(self._copy(reader, ours), self._copy(theirs, writer))

    async def _copy(self, reader, writer):
        try:
            while data := await reader.read(65536):
                writer.write(data)
                await writer.drain()
        except ConnectionError:
            pass
        finally:
            writer.close()
            self._writers.discard(writer)


class Hurried(SystemClock):
    """A clock on which no time passes unless it is told: a back-off is waited for by hand."""

    ahead_s = 0.0

    def monotonic(self):
        return self.ahead_s


async def test_a_broker_that_went_away_is_tried_with_back_off_and_found_again(
    broker, vhost, password, queue
):
    relay, clock = Relay(broker.engines.amqp_port), Hurried()
    await relay.open()
    passive = PassiveDeclare(LOOPBACK, clock, timeout_s=5)
    where = address(broker, vhost, queue.name, amqp_port=relay.port)
    try:
        assert await passive.probe(where, password) == Probe(0, 0)
        await relay.cut()
        assert (await passive.probe(where, password)).code == "unreachable"
        await relay.open()
        # Not before its time, and then at once.
        assert isinstance(await passive.probe(where, password), Failure)
        clock.ahead_s += 1.0
        assert await passive.probe(where, password) == Probe(0, 0)
    finally:
        await passive.close()
        await relay.cut()


async def test_connections_that_no_queue_needs_are_closed(broker, vhost, password, queue):
    passive = PassiveDeclare(LOOPBACK, SystemClock(), timeout_s=5)
    where = address(broker, vhost, queue.name)
    await passive.probe(where, password)
    (known,) = passive._brokers.values()
    connection = known.connection
    await passive.keep_only([where])
    assert not connection.is_closed
    await passive.keep_only([])
    assert connection.is_closed


@asynccontextmanager
async def sampling(where, password):
    async with a_world() as world, a_vault(world) as vault:
        vault.keep("right", password)
        bus = world.broker.bus("queue_sampler")
        settings = Settings(queue_sample_interval=600, queue_probe_interval=0.1)
        task = asyncio.create_task(sample(world.context("queue_sampler"), bus, settings))
        event = ModelRegistered(
            model_id="m",
            environment_id="e",
            name="m",
            queue=where,
            average_inference_time_s=1.0,
            launch=Launch(template="echo"),
        )
        await world.record("gateway", Draft("model/m", event))
        try:
            yield world
        finally:
            await ended(task)
            await bus.close()


async def test_work_that_comes_between_samples_is_recorded_at_once(
    broker, vhost, password, models, queue
):
    async with sampling(address(broker, vhost, queue.name), password) as world:
        first = (await until(lambda: world.facts(QueueSampled)))[0]
        assert (first.source, first.length) == ("management", 0)
        await fill(models, queue, 1)
        probed = (await until(lambda: world.facts(QueueSampled, source="probe")))[0]
        assert probed.ready == probed.length == 1
        assert world.facts(QueueUnreachable) == []


async def test_an_emptied_queue_is_counted_again_with_what_its_worker_holds(
    broker, vhost, password, models, queue, api
):
    await fill(models, queue, 2)
    where = address(broker, vhost, queue.name)
    await counted(lambda: api.read(where, password), (2, 0))
    async with sampling(where, password) as world:
        await until(lambda: world.facts(QueueSampled, ready=2))
        await queue.get()
        await queue.get()
        emptied = (await until(lambda: world.facts(QueueSampled, ready=0)))[0]
        assert (emptied.unacknowledged, emptied.length) == (2, 2)
