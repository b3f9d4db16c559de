"""API keys and what the doors keep, on a real PostgreSQL; and that none of it gives anything away."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import pytest
import structlog

from contracts.events.account import KeyCreated
from services.chassis.clock import SystemClock
from services.chassis.errors import Unavailable
from services.gateway.adapters.credentials import AT_ONCE, CredentialsTable, SessionsTable
from services.gateway.decide.principals import Session
from services.gateway.decide.throttling import Bucket, Limit
from tests.accounts_door import (
    PASSWORD,
    a_gateway,
    a_pool,
    access_of,
    call,
    login,
    me,
    register,
    tokens_of,
)
from tests.gateway_door import BEARER, TOKEN, Door, a_door_beside

CANARY = "canary-77f0-do-not-leak"
TABLES = ("credentials", "sessions", "refresh_tokens", "attempts", "idempotency", "authority")


@pytest.fixture
async def pool(database):
    async with a_pool(database) as opened:
        yield opened


@pytest.fixture
async def door(pool, tmp_path):
    async with a_gateway(pool, tmp_path) as opened:
        yield opened


async def test_a_key_is_shown_once_opens_what_it_may_and_is_revoked_everywhere(door: Door, pool):
    door.query.answers["/nodes"] = (200, {"items": []})
    maker = await access_of(door, "ada", "operator")
    asked = {"name": "nightly", "role": "operator", "permissions": ["read"]}
    made = await call(door, "POST", "/api/v1/keys", maker, asked, **{"idempotency-key": "k"})
    assert made.status_code == 201
    assert made.headers["cache-control"] == "no-store"
    key = made.json()["data"]
    assert key["key"].startswith("qmk_")
    assert key["permissions"] == ["read"]
    again = await call(door, "POST", "/api/v1/keys", maker, asked, **{"idempotency-key": "k"})
    assert again.json()["data"] == {**key, "key": None}
    [event] = door.world.facts(KeyCreated)
    assert event.expires_at > SystemClock().now() + timedelta(days=364)

    by_key = {"x-api-key": key["key"]}
    assert (await call(door, "GET", "/api/v1/nodes", by_key)).status_code == 200
    assert (await call(door, "GET", "/api/v1/nodes", key["key"])).status_code == 200
    forbidden = await call(door, "POST", "/api/v1/nodes/n/processes/7/kill", by_key)
    assert forbidden.status_code == 403
    known = (await me(door, by_key)).json()
    assert (known["kind"], known["username"], known["permissions"]) == ("key", "nightly", ["read"])
    assert (await call(door, "POST", "/api/v1/keys", by_key, asked)).status_code == 403
    for shown in (key["key"][:-1], "qmk_", "qmk_\u00e9"):
        answer = await call(door, "GET", "/api/v1/nodes", {"x-api-key": shown.encode()})
        assert answer.status_code == 401

    async with a_door_beside(door) as other:
        other.client.headers.clear()
        assert (await me(other, by_key)).status_code == 200
        path = f"/api/v1/keys/{key['id']}"
        assert (await call(door, "DELETE", path, maker)).json()["data"]["revoked"] is True
        assert (await me(other, by_key)).status_code == 401
        assert (await call(other, "DELETE", path, maker)).status_code == 404
    assert not await pool.fetch("select from gateway.credentials where secret_id like 'key.%'")


async def test_keys_are_seen_by_their_makers_and_admins_and_go_with_their_maker(door: Door):
    ada, ben = await access_of(door, "ada", "operator"), await access_of(door, "ben", "operator")
    made = await call(door, "POST", "/api/v1/keys", ada, {"name": "of-ada"})
    key = made.json()["data"]
    too_much = {"name": "more", "role": "admin"}
    assert (await call(door, "POST", "/api/v1/keys", ada, too_much)).status_code == 403
    seen = {}
    for name, who in (("ada", ada), ("ben", ben), ("api", TOKEN)):
        items = (await call(door, "GET", "/api/v1/keys", who)).json()["data"]["items"]
        seen[name] = [each["name"] for each in items]
        assert not any("key" in each for each in items)
    assert seen == {"ada": ["of-ada"], "ben": [], "api": ["of-ada"]}
    for method in ("GET", "DELETE"):
        assert (await call(door, method, f"/api/v1/keys/{key['id']}", ben)).status_code == 404
    account = (await me(door, ada)).json()["id"]
    await call(door, "DELETE", f"/api/v1/accounts/{account}", BEARER)
    assert (await me(door, key["key"])).status_code == 401


async def test_a_gateway_that_has_not_heard_the_news_does_not_judge(door: Door, pool):
    token = await access_of(door, "ada")
    await pool.execute("update gateway.authority set position = 1000, advanced_at = now()")
    answer = await me(door, token)
    assert answer.status_code == 503
    assert answer.headers["retry-after"]
    assert (await call(door, "GET", "/api/v1/accounts", token)).status_code == 503
    assert (await me(door, BEARER)).status_code == 200  # the installation's own works on
    table = CredentialsTable(pool)
    await table.rewind(5)
    assert await table.authority() == 1000  # too new to be of a lost past
    await pool.execute("update gateway.authority set advanced_at = now() - interval '1 hour'")
    await table.rewind(2)
    assert await table.authority() == 2
    assert (await me(door, token)).status_code == 200


async def test_without_the_database_only_the_installations_token_opens(door: Door, monkeypatch):
    token = await access_of(door, "ada")

    async def away(*_: Any) -> Any:
        raise Unavailable("the database is away")

    monkeypatch.setattr(SessionsTable, "find", away)
    assert (await call(door, "GET", "/api/v1/accounts/none", token)).status_code == 503
    assert (await me(door, token)).status_code == 503
    assert (await call(door, "GET", "/health", token)).status_code == 200
    assert (await call(door, "GET", "/api/v1/accounts/none", TOKEN)).status_code in {404, 503}


async def test_the_tables_forget_what_is_over(pool):
    sessions, now = SessionsTable(pool), SystemClock().now()
    ids = [f"01932d5e-7b1c-7c3a-9f00-2b6a4d1e8c5{n}" for n in range(2)]
    for id_, until in zip(ids, (now + timedelta(hours=1), now - timedelta(hours=1)), strict=True):
        await sessions.open(Session(id_, "acc-1", 1), now, until, id_.encode())
    assert (await sessions.find(ids[1], now)).what is None
    assert await sessions.refresh(ids[1].encode(), b"x", now, now) is None
    assert await sessions.refresh(b"unknown", b"x", now - AT_ONCE, now) is None
    await sessions.sweep(now)
    rows = await pool.fetch("select session_id::text from gateway.sessions")
    assert [row["session_id"] for row in rows] == ids[:1]
    assert len(await pool.fetch("select from gateway.refresh_tokens")) == 1


async def test_the_same_request_keeps_one_version(pool):
    table = CredentialsTable(pool)
    refs = await asyncio.gather(*(table.keep("account.a", f"d-{n}", "r-1") for n in range(5)))
    assert {ref.version for ref in refs} == {1}
    refs = await asyncio.gather(*(table.keep("account.a", "d", f"r-{n}") for n in range(2, 6)))
    assert sorted(ref.version for ref in refs) == [2, 3, 4, 5]


async def test_a_bucket_is_given_back_what_was_taken(pool, door: Door):
    attempts, now = door.own.attempts, SystemClock().now()
    bucket = Bucket("a", Limit(1))
    assert await attempts.charge([bucket], now) == 0
    assert await attempts.charge([bucket], now) > 0
    await attempts.give_back([bucket])
    assert await attempts.charge([bucket], now) == 0


async def test_no_password_key_or_token_is_in_any_event_row_log_line_or_refusal(door: Door, pool):
    with structlog.testing.capture_logs() as logs:
        given = await tokens_of(door, "ada")
        access, key_body = given["access_token"], {"name": "nightly", "role": "viewer"}
        told = [
            await register(door, "ben", password=CANARY, none=1),
            await register(door, "b n", password=CANARY),
            await register(door, "ben", password=[CANARY]),
            await register(door, "ada", password=CANARY),
            await call(door, "POST", "/auth/register", BEARER, {"password": CANARY}),
            await login(door, CANARY, CANARY),
            await login(door, "ada", CANARY),
            await login(door, "ada", CANARY + "x" * 300),
            await call(door, "POST", "/auth/jwt/login", None, {"password": CANARY}),
            await call(door, "POST", "/auth/jwt/refresh", None, {"refresh_token": CANARY}),
            await call(door, "GET", "/api/v1/keys", f"{CANARY}.{CANARY}.{CANARY}"),
            await call(door, "GET", "/api/v1/keys", f"qmk_{CANARY}"),
        ]
        body = {"current_password": CANARY, "password": CANARY}
        told.append(await call(door, "POST", "/auth/password", access, body))
        made = await call(
            door, "POST", "/api/v1/keys", access, key_body, **{"idempotency-key": "k-1"}
        )
        body = {"current_password": PASSWORD, "password": CANARY}
        changed = await call(
            door, "POST", "/auth/password", access, body, **{"idempotency-key": "k-2"}
        )
        assert (await login(door, "ada", CANARY)).status_code == 200
    assert (made.status_code, changed.status_code) == (201, 200)
    assert {each.status_code for each in told} <= {401, 409, 422}
    events = [bytes(row["data"]) + bytes(row["meta"]) for row in door.world.log._rows]
    rows = [await pool.fetch(f"select t::text from gateway.{table} t") for table in TABLES]
    everywhere = repr((events, rows, logs, door.state, door.secrets.rows, [r.text for r in told]))
    secrets = [PASSWORD, CANARY, TOKEN, access, given["refresh_token"], made.json()["data"]["key"]]
    assert [each for each in secrets if each in everywhere] == []
    assert len(rows[0]) == 2
