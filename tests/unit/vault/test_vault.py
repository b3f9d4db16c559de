"""The vault: what goes in comes out for its readers only, and nothing of it shows elsewhere."""

from __future__ import annotations

import asyncio
import base64
import os

import orjson
import pytest
import structlog
from pydantic import ValidationError

from contracts.types import SecretRef
from services.chassis import secrets
from services.chassis.errors import Bug, Refused, Unavailable
from services.chassis.memory import MemoryBroker
from services.chassis.sealed import Keypair, seal
from services.vault.adapters.cipher import AesGcm
from services.vault.handlers import Vault, answer_questions
from services.vault.settings import Settings
from tests.memory_secrets import MemorySecrets

CANARY = "canary-7f3a-do-not-leak"
KEY = bytes(range(32))


@pytest.fixture
def table() -> MemorySecrets:
    return MemorySecrets()


@pytest.fixture
def vault(table):
    return Vault(table, AesGcm(KEY))


def put(vault_key: bytes, value: str = CANARY, **changes):
    question = {
        "op": "put",
        "secret_id": "model:m-1:rabbitmq",
        "readers": ["queue_sampler"],
        "sealed": base64.b64encode(seal(vault_key, value.encode())).decode(),
    }
    return orjson.dumps({**question, **changes})


def open_(version: int = 1, keypair: Keypair | None = None):
    public = (keypair or Keypair.new()).public
    return orjson.dumps(
        {
            "op": "open",
            "secret_id": "model:m-1:rabbitmq",
            "version": version,
            "public_key": base64.b64encode(public).decode(),
        }
    )


async def public_key(vault: Vault) -> bytes:
    answer = await vault.answer("gateway", b'{"op":"key"}')
    return base64.b64decode(answer["public_key"])


async def test_a_reader_gets_the_value_that_was_put(vault):
    assert await vault.answer("gateway", put(await public_key(vault))) == {"version": 1}
    keypair = Keypair.new()
    answer = await vault.answer("queue_sampler", open_(keypair=keypair))
    assert keypair.open(base64.b64decode(answer["sealed"])).decode() == CANARY


@pytest.mark.parametrize("user", ["deployer", "gateway", "guest", "scheduler"])
async def test_who_is_no_reader_gets_nothing_and_learns_nothing(vault, user):
    await vault.answer("gateway", put(await public_key(vault)))
    refused = await vault.answer(user, open_())
    unknown = await vault.answer(user, open_(version=9))
    assert refused["error"] == unknown["error"] == "not_found"
    assert "sealed" not in refused


@pytest.mark.parametrize("user", [None, ""])
async def test_a_question_without_a_name_checked_by_the_broker_is_refused(vault, user):
    for question in (b'{"op":"key"}', put(await public_key(vault)), open_()):
        assert (await vault.answer(user, question))["error"] == "refused"


@pytest.mark.parametrize("user", ["queue_sampler", "deployer", "query"])
async def test_only_the_gateway_keeps_and_erases(vault, table, user):
    assert (await vault.answer(user, put(await public_key(vault))))["error"] == "refused"
    erase = b'{"op":"erase","secret_id":"model:m-1:rabbitmq"}'
    assert (await vault.answer(user, erase))["error"] == "refused"
    assert not table.rows


async def test_the_same_request_again_is_the_same_version(vault):
    key = await public_key(vault)
    first = await vault.answer("gateway", put(key, request_id="r-1"))
    again = await vault.answer("gateway", put(key, request_id="r-1"))
    other = await vault.answer("gateway", put(key, request_id="r-2"))
    assert (first, again, other) == ({"version": 1}, {"version": 1}, {"version": 2})


async def test_old_versions_open_until_they_are_erased(vault):
    key = await public_key(vault)
    for value in ("old", "new"):
        await vault.answer("gateway", put(key, value))
    keypair = Keypair.new()
    old = await vault.answer("queue_sampler", open_(1, keypair))
    assert keypair.open(base64.b64decode(old["sealed"])) == b"old"
    erased = await vault.answer("gateway", b'{"op":"erase","secret_id":"model:m-1:rabbitmq"}')
    assert erased == {"erased": 2}
    assert (await vault.answer("queue_sampler", open_(1)))["error"] == "not_found"


@pytest.mark.parametrize(
    ("body", "field"),
    [
        (b"", "Invalid JSON"),
        (b"\xff\xfe", "Invalid JSON"),
        (b"[]", ""),
        (b'{"op":"steal"}', "op"),
        (b'{"op":"key","more":1}', "more"),
        (b'{"op":"open","secret_id":"a","version":0,"public_key":""}', "version"),
        (b'{"op":"open","secret_id":"a b","version":1,"public_key":""}', "secret_id"),
        (b'{"op":"put","secret_id":"a","readers":["x"],"sealed":"%%%"}', "sealed"),
        (b'{"op":"put","secret_id":"a","readers":"x","sealed":"AA=="}', "readers"),
    ],
)
async def test_a_question_that_cannot_be_read_is_refused_by_its_field(vault, body, field):
    answer = await vault.answer("gateway", body)
    assert answer["error"] == "refused"
    assert field in answer["detail"]


async def test_what_was_sealed_to_another_key_is_refused(vault, table):
    answer = await vault.answer("gateway", put(Keypair.new().public))
    assert answer["error"] == "refused"
    assert not table.rows


async def test_a_value_moved_to_another_version_does_not_open(vault, table):
    key = await public_key(vault)
    await vault.answer("gateway", put(key, "old"))
    await vault.answer("gateway", put(key, "new"))
    table.rows["model:m-1:rabbitmq", 2] = table.rows["model:m-1:rabbitmq", 1]
    answer = await vault.answer("queue_sampler", open_(2))
    assert answer == {"error": "bug", "detail": "the vault failed"}
    with pytest.raises(Bug):
        AesGcm(os.urandom(32)).decrypt(AesGcm(KEY).encrypt(b"x", "a", 1), "a", 1)


async def test_the_value_shows_in_no_row_no_answer_and_no_log(vault, table):
    with structlog.testing.capture_logs() as logs:
        answers = [
            await vault.answer("gateway", put(await public_key(vault))),
            await vault.answer("query", put(await public_key(vault))),
            await vault.answer("gateway", put(CANARY.encode().ljust(32, b".")[:32])),
            await vault.answer("gateway", orjson.dumps({"op": "put", "sealed": CANARY})),
            await vault.answer("query", open_()),
            await vault.answer("queue_sampler", open_()),
        ]
    told = repr((answers, logs, table.rows, table.rows["model:m-1:rabbitmq", 1].value.ciphertext))
    assert CANARY not in told
    assert len(logs) == 4


async def test_it_answers_over_the_bus_and_survives_a_lost_connection(vault):
    broker = MemoryBroker()
    own = broker.bus("vault")
    running = asyncio.create_task(answer_questions(own, vault, lambda _: asyncio.sleep(0)))
    try:
        ref = await secrets.store(
            broker.bus("gateway"), "webhook:w-1", CANARY, purpose="signing", readers=["alerter"]
        )
        assert ref == SecretRef(secret_id="webhook:w-1", version=1)
        own.cut()
        assert await secrets.reveal(broker.bus("alerter"), ref) == CANARY
        with pytest.raises(Refused):
            await secrets.reveal(broker.bus("scheduler"), ref)
        with pytest.raises(Refused):
            await secrets.store(broker.bus("alerter"), "x", "y", purpose="", readers=[])
        await secrets.forget(broker.bus("gateway"), "webhook:w-1")
        with pytest.raises(Refused):
            await secrets.reveal(broker.bus("alerter"), ref)
    finally:
        running.cancel()


@pytest.mark.parametrize(
    ("failure", "told"),
    [(RuntimeError(CANARY), Bug), (Unavailable("later"), Unavailable), (Refused("no"), Refused)],
)
async def test_a_fault_of_the_vault_is_not_told_as_the_askers(vault, table, failure, told):
    async def fails(*_: object) -> None:
        raise failure

    table.add = table.erase = fails
    broker = MemoryBroker()
    own, gateway = broker.bus("vault"), broker.bus("gateway")
    running = asyncio.create_task(answer_questions(own, vault, lambda _: asyncio.sleep(0)))
    try:
        for asking in (
            secrets.store(gateway, "webhook:w-1", CANARY, purpose="signing", readers=["alerter"]),
            secrets.forget(gateway, "webhook:w-1"),
        ):
            with pytest.raises(told) as refused:
                await asking
            assert CANARY not in str(refused.value)
    finally:
        running.cancel()


def settings(**changes) -> Settings:
    urls = {"QM_DATABASE_URL": "postgresql://h/d", "amqp_url": "amqp://h/"}
    return Settings(_env_file=None, **urls, **changes)


def test_the_key_comes_from_a_file_or_from_the_environment(tmp_path):
    file = tmp_path / "key"
    file.write_text(base64.b64encode(KEY).decode() + "\n")
    assert settings(vault_key_file=file).key() == KEY
    assert settings(vault_key=base64.b64encode(KEY).decode()).key() == KEY


@pytest.mark.parametrize(
    "key", ["", "short", "not base64 at all!", base64.b64encode(b"x").decode()]
)
def test_a_key_that_is_none_stops_the_vault_before_it_starts(key):
    with pytest.raises(ValidationError) as refused:
        settings(vault_key=key)
    assert not key or f"'{key}'" not in str(refused.value)


def test_a_vault_without_a_key_does_not_start(tmp_path):
    with pytest.raises(ValidationError, match="QM_VAULT_KEY_FILE"):
        settings()
    with pytest.raises(ValidationError, match="cannot be read"):
        settings(vault_key_file=tmp_path / "none")
