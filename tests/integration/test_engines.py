"""The local engines: started once, on the same data for ever, least rights, nothing left behind."""

import asyncio
import json
import shutil
import stat
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from uuid import uuid4

import aio_pika
import asyncpg
import httpx2
import psutil
import pytest
from aio_pika import DeliveryMode, ExchangeType, Message
from aio_pika.abc import AbstractChannel
from aio_pika.exceptions import ChannelPreconditionFailed
from aiormq.exceptions import ChannelAccessRefused
from pamqp.common import FieldTable

from deploy.local import engines
from deploy.local.engines import EngineError, Engines
from deploy.local.processes import find, lives, recall
from deploy.rabbitmq import permissions

EXCHANGES = {"qm.recorded": ExchangeType.TOPIC}
DIRECT = ("qm.proposed", "qm.journal", "qm.asked", "qm.vault", "qm.parked", "qm.beacon")
DURABLE = {
    "journal.proposed": "qm.proposed",
    "journal.asked": "qm.journal",
    "vault.asked": "qm.vault",
    "scheduler.asked": "qm.asked",
    "scheduler.lead": "qm.beacon",
    "qm.parked": "qm.parked",
}
QUORUM: FieldTable = {"x-queue-type": "quorum", "x-dead-letter-exchange": "qm.parked"}

Use = Callable[[AbstractChannel], Awaitable[object]]


@pytest.fixture(scope="module")
def running() -> Iterator[Engines]:
    state = Path(tempfile.mkdtemp(prefix="qm-engines-"))
    state.chmod(0o711)
    try:
        started = engines.start(state, {})
        _as(started, "journal", _declare_topology)
        yield started
    finally:
        engines.stop(state, immediately=True)
        shutil.rmtree(state)


def test_started_engines_are_healthy(running: Engines) -> None:
    assert engines.status(running.state) == {"postgres": "healthy", "rabbitmq": "healthy"}


def test_a_second_start_reuses_what_runs(running: Engines) -> None:
    before = _recorded(running.state)
    assert engines.start(running.state, {}) == running
    assert _recorded(running.state) == before


def test_passwords_are_kept_for_their_owner_alone(running: Engines) -> None:
    file = running.state / "credentials.json"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    secrets = json.loads(file.read_text())
    shown = repr(running)
    assert not any(word in shown for kind in secrets.values() for word in kind.values())


def test_nothing_listens_beyond_this_machine(running: Engines) -> None:
    recorded = [recall(file) for file in _records(running.state)]
    processes = [process for process in map(find, recorded) if process]
    assert len(processes) == 3
    for process in processes:
        sockets = process.net_connections("inet")
        listening = {each.laddr.ip for each in sockets if each.status == psutil.CONN_LISTEN}
        assert listening
        assert listening <= {"127.0.0.1", "::1"}


@pytest.mark.parametrize("service", [*permissions.SERVICES, "journal"])
def test_every_service_follows_and_takes_answers_on_queues_of_its_own(
    running: Engines, service: str
) -> None:
    _as(running, service, lambda channel: _follow(channel, service))


@pytest.mark.parametrize("service", ["node_monitor", "scheduler", "gateway", "vault", "alerter"])
def test_a_proposer_may_propose(running: Engines, service: str) -> None:
    _as(running, service, lambda channel: _publish(channel, "qm.proposed", service))


@pytest.mark.parametrize("service", ["query", "projector"])
def test_who_proposes_nothing_may_not(running: Engines, service: str) -> None:
    _refused(running, service, lambda channel: _publish(channel, "qm.proposed", service))


def test_a_false_user_id_is_refused(running: Engines) -> None:
    with pytest.raises(ChannelPreconditionFailed):
        _as(running, "scheduler", lambda channel: _publish(channel, "qm.proposed", "deployer"))


def test_only_the_journal_writes_what_was_recorded(running: Engines) -> None:
    _as(running, "journal", lambda channel: _publish(channel, "qm.recorded", "journal"))
    _refused(running, "scheduler", lambda channel: _publish(channel, "qm.recorded", "scheduler"))


def test_who_answers_nobody_may_not_write_to_a_queue_past_the_exchanges(running: Engines) -> None:
    _as(running, "vault", lambda channel: _publish(channel, "", "vault"))
    _refused(running, "deployer", lambda channel: _publish(channel, "", "deployer"))


def test_only_the_journal_declares_durable_queues(running: Engines) -> None:
    _refused(running, "scheduler", lambda channel: _declare(channel, "scheduler.more"))
    _refused(running, "scheduler", lambda channel: _declare(channel, "scheduler.lead"))


def test_nobody_else_reads_the_journals_proposals(running: Engines) -> None:
    _refused(running, "scheduler", lambda channel: _consume(channel, "journal.proposed"))
    _as(running, "journal", lambda channel: _consume(channel, "journal.proposed"))


def test_nobody_reads_the_follower_queue_of_another(running: Engines) -> None:
    queue = f"scheduler.{uuid4()}.recorded"
    _refused(running, "deployer", lambda channel: _declare(channel, queue))


def test_a_service_leads_by_its_own_queue_only(running: Engines) -> None:
    _as(running, "scheduler", lambda channel: _consume(channel, "scheduler.lead"))
    _refused(running, "deployer", lambda channel: _consume(channel, "scheduler.lead"))


def test_the_demo_owns_the_models_vhost_and_the_sampler_sees_its_queues(running: Engines) -> None:
    async def feed() -> None:
        url = running.amqp_url("demo", permissions.MODELS_VHOST)
        async with await aio_pika.connect(url) as connection:
            await _declare(await connection.channel(), "llama")

    asyncio.run(feed())
    sampler = ("sampler", running.credentials.broker["sampler"])
    path = f"/api/queues/{permissions.MODELS_VHOST}/llama"
    with httpx2.Client(base_url=running.management_url, auth=sampler, trust_env=False) as client:
        assert client.get(path).json()["name"] == "llama"
        assert client.delete(path).is_error


def test_every_role_logs_in_and_only_the_owner_creates(running: Engines) -> None:
    create = "CREATE TABLE public.mine (id int); DROP TABLE public.mine"
    for service in ("journal", "projector", "query", "gateway", "vault"):
        url = running.urls(service)["QM_DATABASE_URL"]
        assert _sql(url, "SELECT 1") == 1
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            _sql(url, create)
    _sql(running.owner_url(), create)


def test_a_role_needs_its_password(running: Engines) -> None:
    url = running.urls("query")["QM_DATABASE_URL"]
    with pytest.raises(asyncpg.InvalidPasswordError):
        _sql(url.replace("qm_query:", "qm_query:not-"), "SELECT 1")


def test_who_needs_no_database_gets_none(running: Engines) -> None:
    assert set(running.urls("scheduler")) == {"QM_AMQP_URL"}


def test_an_unknown_service_is_refused(running: Engines) -> None:
    with pytest.raises(EngineError, match="no broker user nobody"):
        running.urls("nobody")


def test_commits_are_durable_and_pages_are_checked(running: Engines) -> None:
    for setting in ("fsync", "synchronous_commit", "data_checksums", "full_page_writes"):
        assert _sql(running.superuser_dsn, f"SHOW {setting}") == "on"


def test_killed_engines_come_back_on_the_same_ports_and_data(running: Engines) -> None:
    _sql(running.owner_url(), "CREATE TABLE public.kept AS SELECT 42 AS answer")
    _as(running, "journal", lambda channel: _publish(channel, "qm.proposed", "journal"))
    engines.postgres(running.state).kill()
    engines.rabbitmq(running.state).kill()
    assert engines.status(running.state) == {"postgres": "stopped", "rabbitmq": "stopped"}

    assert engines.start(running.state, {}) == running
    assert _sql(running.owner_url(), "SELECT answer FROM public.kept") == 42
    _as(running, "journal", _finds_a_proposal)


def test_a_session_that_outlives_a_killed_server_does_not_keep_the_next_from_starting(
    running: Engines,
) -> None:
    database = engines.postgres(running.state)
    server = find(recall(database.record))
    assert server
    busy = "SELECT count(*) FROM generate_series(1, 1000000000) AS busy"
    with ThreadPoolExecutor() as pool:
        session = pool.submit(_sql, running.superuser_dsn, busy)
        time.sleep(0.3)
        server.kill()  # the server alone, as the kernel would when memory is short
        server.wait()
        assert engines.start(running.state, {}) == running
        with pytest.raises((OSError, asyncpg.PostgresConnectionError)):
            session.result()
    assert _sql(running.owner_url(), "SELECT 1") == 1


def test_a_crashed_database_recovers_in_place(running: Engines) -> None:
    engines.postgres(running.state).restart(immediate=True)
    assert _sql(running.owner_url(), "SELECT 1") == 1


def test_a_recycled_process_id_is_never_taken_for_an_engine(running: Engines) -> None:
    record = running.state / "run" / "postgres.json"
    kept = record.read_text()
    record.write_text(json.dumps(json.loads(kept) | {"pid": psutil.Process().pid}))
    try:
        engines.postgres(running.state).kill()  # would end this test
        assert not engines.postgres(running.state).is_running()
    finally:
        record.write_text(kept)


def test_stop_leaves_no_process_and_no_record(running: Engines) -> None:
    processes = map(find, map(recall, _records(running.state)))
    trees = [_tree(process) for process in processes if process]
    assert len(trees) == 3
    engines.stop(running.state)
    assert not any(lives(process) for tree in trees for process in tree)
    assert _records(running.state) == []
    assert not _mentioning(running.state)


def _as(running: Engines, user: str, use: Use) -> None:
    async def connected() -> None:
        async with await aio_pika.connect(running.amqp_url(user)) as connection:
            await use(await connection.channel(on_return_raises=False))

    asyncio.run(connected())


def _refused(running: Engines, user: str, use: Use) -> None:
    with pytest.raises(ChannelAccessRefused):
        _as(running, user, use)


async def _declare_topology(channel: AbstractChannel) -> None:
    for name in ("qm.recorded", *DIRECT):
        kind = EXCHANGES.get(name, ExchangeType.DIRECT)
        await channel.declare_exchange(name, kind, durable=True)
    for name, exchange in DURABLE.items():
        queue = await _declare(channel, name)
        await queue.bind(exchange, routing_key="any")


async def _declare(channel: AbstractChannel, name: str) -> aio_pika.abc.AbstractQueue:
    if name.endswith("recorded"):
        return await channel.declare_queue(name, exclusive=True)
    return await channel.declare_queue(name, durable=True, arguments=QUORUM)


async def _follow(channel: AbstractChannel, service: str) -> None:
    followed = await channel.declare_queue(f"{service}.{uuid4()}.recorded", exclusive=True)
    for exchange in ("qm.recorded", "qm.beacon"):
        await followed.bind(exchange, routing_key="#")
    await followed.consume(_ignore)
    replies = await channel.declare_queue(f"{service}.{uuid4()}.replies", exclusive=True)
    await replies.consume(_ignore)


async def _publish(channel: AbstractChannel, exchange: str, user_id: str) -> None:
    message = Message(b"{}", user_id=user_id, delivery_mode=DeliveryMode.PERSISTENT)
    target = await channel.get_exchange(exchange, ensure=False) if exchange else None
    await (target or channel.default_exchange).publish(message, routing_key="any")


async def _consume(channel: AbstractChannel, name: str) -> None:
    queue = await channel.get_queue(name, ensure=False)
    await queue.cancel(await queue.consume(_ignore))


async def _finds_a_proposal(channel: AbstractChannel) -> None:
    found = await channel.get_queue("journal.proposed")
    assert found.declaration_result.message_count


async def _ignore(_: aio_pika.abc.AbstractIncomingMessage) -> None:
    return


def _sql(url: str, statement: str) -> object:
    async def ask() -> object:
        connection = await asyncpg.connect(url)  # type: ignore[no-untyped-call]
        try:
            if "TABLE" in statement:
                return await connection.execute(statement)
            return await connection.fetchval(statement)
        finally:
            await connection.close()

    return asyncio.run(ask())


def _records(state: Path) -> list[Path]:
    files = [state / "run" / f"{name}.json" for name in ("postgres", "rabbitmq", "epmd")]
    return [file for file in files if file.exists()]


def _recorded(state: Path) -> list[str]:
    return [file.read_text() for file in _records(state)]


def _tree(process: psutil.Process) -> list[psutil.Process]:
    return [process, *process.children(recursive=True)]


def _mentioning(state: Path) -> list[int]:
    return [
        process.pid
        for process in psutil.process_iter(["cmdline"])
        if any(str(state) in word for word in process.info["cmdline"] or [])
    ]
