"""The tables of the two doors on a real PostgreSQL, each with its own role."""

from __future__ import annotations

import asyncio

import pytest

from contracts.envelope import Draft
from contracts.events.environment import EnvironmentCreated
from services.chassis.database import connect_pool
from services.chassis.errors import Bug, Conflict, Refused
from services.chassis.ids import uuid7
from services.gateway.adapters import keys as keys_table
from services.gateway.adapters.keys import KeysTable
from services.gateway.decide.asking import Answer, Asked, Stored
from services.gateway.decide.verdicts import Decision
from services.vault.adapters.cipher import AesGcm
from services.vault.adapters.secrets_table import SecretsTable
from services.vault.state import NewVersion

CANARY = b"canary-93aa-do-not-leak"
DECISION = Decision(
    (
        Draft(
            "environment/env-1",
            EnvironmentCreated(environment_id="env-1", name="one"),
            expected_version=0,
        ),
    ),
    201,
    shows=("environment", "env-1"),
    forgets=("x.signing",),
)


@pytest.fixture
async def gateway(database):
    pool = await connect_pool(database.url("gateway"), service="gateway")
    yield pool
    await pool.close()


@pytest.fixture
async def keys(gateway):
    return KeysTable(gateway)


@pytest.fixture
async def vault(database):
    pool = await connect_pool(database.url("vault"), service="vault")
    yield pool
    await pool.close()


@pytest.fixture
async def secrets(vault):
    return SecretsTable(vault)


def asked(key: str, fingerprint: bytes = b"f") -> Asked:
    return Asked("ann", key, fingerprint)


async def test_a_key_is_claimed_once_and_its_answer_kept(keys):
    claim = await keys.claim(asked("k-1"))
    assert claim.stored is None
    with pytest.raises(Conflict):
        await keys.claim(asked("k-1"))
    stored = Stored((uuid7(),), DECISION)
    await keys.keep(claim, stored)
    await keys.finish(claim, Answer(201, {"id": "env-1"}, 7))
    again = await keys.claim(asked("k-1"))
    assert again.answered == Answer(201, {"id": "env-1"}, 7, repeated=True)
    with pytest.raises(Refused):
        await keys.claim(asked("k-1", b"other"))
    assert (await keys.claim(Asked("bob", "k-1", b"other"))).answered is None


async def test_a_key_that_was_let_go_goes_on_from_what_is_stored(keys):
    claim = await keys.claim(asked("k-2"))
    stored = Stored((uuid7(),), DECISION)
    await keys.keep(claim, stored)
    await keys.let_go(claim)
    again = await keys.claim(asked("k-2"))
    assert again.stored == stored
    with pytest.raises(Conflict):
        await keys.keep(claim, stored)  # the first holder came back too late


async def test_a_key_whose_holder_died_is_soon_anothers_with_what_is_stored(keys, monkeypatch):
    assert keys_table.CLAIM_S <= 5.0  # a killed gateway's commands go on within ten seconds
    stored = Stored((uuid7(),), DECISION)
    dead = await keys.claim(asked("k-6"))
    await keys.keep(dead, stored)
    monkeypatch.setattr(keys_table, "CLAIM_S", 0.0)
    assert (await keys.claim(asked("k-6"))).stored == stored
    with pytest.raises(Conflict):
        await keys.keep(dead, stored)


async def test_a_forgotten_key_is_new(keys):
    await keys.forget(await keys.claim(asked("k-3")))
    assert (await keys.claim(asked("k-3", b"other"))).stored is None


async def test_of_many_who_claim_one_key_one_has_it(keys):
    claims = await asyncio.gather(
        *(keys.claim(asked("k-4")) for _ in range(10)), return_exceptions=True
    )
    assert sum(not isinstance(claim, Exception) for claim in claims) == 1
    assert all(isinstance(each, Conflict) for each in claims if isinstance(each, Exception))


async def test_old_keys_are_swept(keys, gateway):
    await keys.claim(asked("k-5"))
    await gateway.execute(
        "update gateway.idempotency set created_at = created_at - interval '3 h' where key = 'k-5'"
    )
    await keys.sweep(2)
    assert await gateway.fetchval("select count(*) from gateway.idempotency where key = 'k-5'") == 0


async def test_versions_are_counted_and_never_reused(secrets):
    cipher = AesGcm(bytes(range(32)))

    def encrypt(version: int):
        return cipher.encrypt(CANARY, "s-1", version)

    new = NewVersion("s-1", "a test", ("deployer",), None)
    versions = await asyncio.gather(*(secrets.add(new, encrypt) for _ in range(8)))
    assert sorted(versions) == list(range(1, 9))
    assert await secrets.erase("s-1") == 8
    assert await secrets.get("s-1", 3) is None
    assert await secrets.add(new, encrypt) == 9
    kept = await secrets.get("s-1", 9)
    assert kept.readers == {"deployer"}
    assert cipher.decrypt(kept.value, "s-1", 9) == CANARY


async def test_one_version_is_erased_and_the_others_stay(secrets):
    cipher = AesGcm(bytes(range(32)))
    new = NewVersion("s-4", "a test", ("deployer",), None)
    for _ in range(2):
        await secrets.add(new, lambda version: cipher.encrypt(CANARY, "s-4", version))
    assert await secrets.erase("s-4", 2) == 1
    assert await secrets.erase("s-4", 2) == 0
    assert await secrets.get("s-4", 2) is None
    assert await secrets.get("s-4", 1) is not None


async def test_one_request_makes_one_version_however_often_it_is_made(secrets):
    cipher = AesGcm(bytes(range(32)))
    new = NewVersion("s-2", "a test", (), "r-1")
    versions = await asyncio.gather(
        *(secrets.add(new, lambda n: cipher.encrypt(b"x", "s-2", n)) for _ in range(5))
    )
    assert versions == [1] * 5


async def test_the_value_stands_nowhere_in_the_table(secrets, database):
    cipher = AesGcm(bytes(range(32)))
    new = NewVersion("s-3", "a test", (), None)
    await secrets.add(new, lambda version: cipher.encrypt(CANARY, "s-3", version))
    rows = database.superuser_sql("select encode(ciphertext, 'escape'), s.* from vault.secrets s")
    assert CANARY.decode() not in rows
    assert CANARY.hex() not in rows


@pytest.mark.parametrize("sql", ["select * from vault.secrets", "select * from log.facts"])
async def test_the_gateway_reads_neither_the_vault_nor_the_log(gateway, sql):
    with pytest.raises(Bug):
        await gateway.fetch(sql)


@pytest.mark.parametrize(
    "sql",
    ["select * from gateway.idempotency", "delete from vault.secrets", "select * from log.facts"],
)
async def test_the_vault_has_its_own_table_only_and_deletes_nothing(vault, sql):
    with pytest.raises(Bug):
        await vault.execute(sql)
