"""Coming in, on a real PostgreSQL: accounts, logins, tokens, and who may do what."""

from __future__ import annotations

import asyncio

import httpx2
import orjson
import pytest

from contracts.events.account import AccountRegistered
from services.chassis.errors import Unavailable
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
from tests.gateway_door import BEARER, Door, a_door_beside

OTHER = "another good long password"


@pytest.fixture
async def pool(database):
    async with a_pool(database) as opened:
        yield opened


@pytest.fixture
async def door(pool, tmp_path):
    async with a_gateway(pool, tmp_path) as opened:
        yield opened


async def test_an_account_is_registered_logs_in_acts_and_is_the_actor(door: Door):
    made = await register(door, "ada")
    assert made.status_code == 201
    assert made.json()["role"] == "admin"  # the first one
    assert int(made.headers["qm-position"]) == 2
    came = await login(door, "Ada")
    assert came.headers["cache-control"] == "no-store"
    assert {"access_token", "token_type", "expires_in", "refresh_token"} == came.json().keys()
    assert came.json()["token_type"] == "bearer"
    token = came.json()["access_token"]
    known = (await me(door, token)).json()
    assert (known["kind"], known["username"], known["role"]) == ("account", "ada", "admin")
    assert known["permissions"] == ["heartbeat", "read", "operate", "admin"]
    created = await call(door, "POST", "/api/v1/environments", token, {"name": "production"})
    assert created.status_code == 201
    actors = [orjson.loads(row["meta"])["actor"] for row in door.world.log._rows]
    assert actors == ["api", "api", "ada", "ada"]


async def test_roles_are_what_they_say(door: Door):
    door.query.answers["/nodes"] = (200, {"items": []})
    can = {}
    for role in ("viewer", "operator", "agent", "admin"):
        token = await access_of(door, f"a-{role}", role)
        can[role] = [
            (await call(door, method, path, token, body)).status_code
            for method, path, body in (
                ("GET", "/api/v1/nodes", None),
                ("POST", "/api/v1/nodes/n-1/processes/7/kill", None),
                ("POST", "/api/v1/environments", {"name": f"of {role}"}),
                ("POST", "/api/v1/nodes/n-1/heartbeat", None),
                ("GET", "/api/v1/accounts", None),
            )
        ]
    assert can == {
        "viewer": [200, 403, 403, 403, 403],
        "operator": [200, 404, 403, 403, 403],
        "agent": [403, 403, 403, 404, 403],
        "admin": [200, 404, 201, 404, 200],
    }


async def test_strangers_register_only_where_it_is_open_and_as_viewers(pool, tmp_path):
    async with a_gateway(pool, tmp_path) as closed:
        assert (await register(closed, "eve", who=None)).status_code == 401
        viewer = await access_of(closed, "vic", "viewer")
        assert (await register(closed, "eve", who=viewer)).status_code == 403
    async with a_gateway(pool, tmp_path, registration_open=True) as door:
        assert (await register(door, "eve", "admin", who=None)).status_code == 401
        made = await register(door, "eve", who=None)
        assert (made.status_code, made.json()["role"]) == (201, "viewer")
        assert (await login(door, "eve")).status_code == 200
        actors = {orjson.loads(row["meta"])["actor"] for row in door.world.log._rows}
        assert actors == {"eve"}


async def test_what_is_wrong_with_a_registration_is_said_by_field(door: Door):
    refused = await register(door, "ada", password="too short")
    assert (refused.status_code, refused.json()["errors"][0]["field"]) == (422, "password")
    refused = await register(door, "a b")
    assert refused.json()["errors"][0]["field"] == "username"
    assert refused.headers["content-type"] == "application/problem+json"
    await register(door, "ada")
    taken = await register(door, "ADA")
    assert (taken.status_code, taken.json()["errors"][0]["field"]) == (409, "username")
    email = {"email": "bob@example.org", "password": PASSWORD}
    made = await call(door, "POST", "/auth/register", BEARER, email)
    assert made.json()["username"] == "bob@example.org"


async def test_a_registration_asked_twice_is_one(door: Door):
    body = {"username": "ada", "password": PASSWORD}
    first, again = [
        await call(door, "POST", "/auth/register", BEARER, body, **{"idempotency-key": "k-1"})
        for _ in range(2)
    ]
    assert first.json() == again.json()
    assert again.headers["idempotency-replayed"] == "true"
    assert len(door.world.facts(AccountRegistered)) == 1


async def test_a_login_that_says_too_little_is_422(door: Door):
    form = {"content-type": "application/x-www-form-urlencoded"}
    for content, headers in (
        (b'{"username": "ada"}', {"content-type": "application/json"}),
        (b"[]", {"content-type": "application/json"}),
        (b"", {}),
        (b"username=ada", form),
        (b"&".join(b"f=1" for _ in range(50)), form),
        (b"username=ada&password=p&grant_type=magic", form),
    ):
        answer = await door.client.post("/auth/jwt/login", content=content, headers=headers)
        assert answer.status_code == 422, answer.text
    xml = await door.client.post("/auth/jwt/login", content=b"<>", headers={"content-type": "x/y"})
    assert xml.status_code == 415


async def test_a_login_may_be_json_too(door: Door):
    await register(door, "ada")
    body = {"username": "ada", "password": PASSWORD}
    assert (await call(door, "POST", "/auth/jwt/login", None, body)).status_code == 200


async def test_who_is_wrong_does_not_learn_which_part_was(door: Door):
    await register(door, "ada")
    wrong = await login(door, "ada", "wrong password it is")
    nobody = await login(door, "nobody", "wrong password it is")
    assert wrong.status_code == nobody.status_code == 401
    assert wrong.json()["detail"] == nobody.json()["detail"]
    assert wrong.headers["www-authenticate"] == "Bearer"


async def test_wrong_logins_are_so_many_a_minute_and_the_right_ones_do_not_count(pool, tmp_path):
    settings = {"login_attempts_per_minute": 2, "trusted_proxies": "127.0.0.0/8"}
    async with a_gateway(pool, tmp_path, **settings) as door:
        await register(door, "ada")
        for _ in range(4):
            assert (await login(door, "ada")).status_code == 200
        wrong = [(await login(door, "ADA", "wrong")).status_code for _ in range(3)]
        assert wrong == [401, 401, 429]
        late = await login(door, "ada")
        assert late.status_code == 429
        assert 0 < int(late.headers["retry-after"]) <= 30
        # Others are not kept out: neither from here, nor ada from elsewhere.
        assert (await login(door, "ben", "wrong")).status_code == 401
        elsewhere = {"x-forwarded-for": "203.0.113.9"}
        assert (await login(door, "ada", **elsewhere)).status_code == 200


async def test_one_address_cannot_try_many_names(pool, tmp_path):
    async with a_gateway(pool, tmp_path, address_attempts_per_minute=2) as door:
        codes = [(await login(door, f"n-{n}", "wrong")).status_code for n in range(3)]
        assert codes == [401, 401, 429]


async def test_attempts_at_two_gateways_are_counted_together(pool, tmp_path):
    few = {"login_attempts_per_minute": 2}
    async with a_gateway(pool, tmp_path, **few) as door, a_door_beside(door, **few) as other:
        codes = await asyncio.gather(
            *(login(each, "ada", "wrong") for _ in range(3) for each in (door, other))
        )
    assert sorted(each.status_code for each in codes) == [401] * 2 + [429] * 4


async def test_a_refresh_token_is_good_once_and_its_theft_ends_the_session(door: Door, pool):
    given = await tokens_of(door, "ada")

    async def refresh(token: str) -> httpx2.Response:
        return await door.client.post("/auth/jwt/refresh", data={"refresh_token": token})

    second = (await refresh(given["refresh_token"])).json()
    assert (await me(door, second["access_token"])).status_code == 200
    # Asked twice at once, the session goes on; later it was stolen.
    assert (await refresh(given["refresh_token"])).status_code == 401
    assert (await me(door, second["access_token"])).status_code == 200
    await pool.execute(
        "update gateway.refresh_tokens set used_at = used_at - interval '1 minute'"
        " where used_at is not null"
    )
    assert (await refresh(given["refresh_token"])).status_code == 401
    assert (await me(door, second["access_token"])).status_code == 401
    assert (await refresh(second["refresh_token"])).status_code == 401
    for nonsense in ("", "qmr_nonsense", "x" * 200):
        assert (await refresh(nonsense)).status_code == 401


async def test_a_refresh_that_cannot_be_judged_now_leaves_the_token_good(door: Door, monkeypatch):
    given = await tokens_of(door, "ada")
    form = {"refresh_token": given["refresh_token"]}

    async def is_behind(_: int) -> None:
        raise Unavailable("the log is still being read")

    with monkeypatch.context() as patched:
        patched.setattr(door.app.state.doors.accounts._judged, "at", is_behind)
        late = await door.client.post("/auth/jwt/refresh", data=form)
        assert late.status_code == 503
    again = await door.client.post("/auth/jwt/refresh", data=form)
    assert again.status_code == 200
    assert (await me(door, again.json()["access_token"])).status_code == 200


async def test_without_refresh_days_there_are_no_refresh_tokens(pool, tmp_path):
    async with a_gateway(pool, tmp_path, refresh_days=0) as door:
        given = await tokens_of(door, "ada")
        assert given["refresh_token"] is None
        assert (await me(door, given["access_token"])).status_code == 200
        answer = await call(door, "POST", "/auth/jwt/refresh", None, {"refresh_token": "qmr_x"})
        assert answer.status_code == 401


async def test_a_logout_ends_the_session_at_every_gateway(door: Door):
    given = await tokens_of(door, "ada")
    mine, another = given["access_token"], (await login(door, "ada")).json()["access_token"]
    async with a_door_beside(door) as other:
        other.client.headers.clear()
        assert (await me(other, mine)).status_code == 200
        assert (await call(door, "POST", "/auth/jwt/logout", mine)).status_code == 204
        assert (await me(other, mine)).status_code == 401
        assert (await me(other, another)).status_code == 200
    refused = await call(door, "POST", "/auth/jwt/logout", BEARER)
    assert refused.status_code == 422


async def test_a_new_password_ends_all_sessions_and_the_old_one_opens_nothing(door: Door, pool):
    token = await access_of(door, "ada")
    body = {"current_password": "not this one", "password": OTHER}
    refused = await call(door, "POST", "/auth/password", token, body)
    assert refused.status_code == 422  # the token is good: it is not a login that is needed
    assert refused.json()["errors"][0]["field"] == "current_password"
    body["current_password"] = PASSWORD
    assert (await call(door, "POST", "/auth/password", token, body)).status_code == 200
    assert (await me(door, token)).status_code == 401
    assert (await login(door, "ada")).status_code == 401
    assert (await login(door, "ada", OTHER)).status_code == 200
    kept = await pool.fetch("select version, digest from gateway.credentials")
    assert [row["version"] for row in kept] == [2]
    assert kept[0]["digest"].startswith("$argon2id$")
    assert (await call(door, "POST", "/auth/password", BEARER, body)).status_code == 403


async def test_an_admin_lists_accounts_and_changes_them(door: Door):
    admin = await access_of(door, "ada")
    ben = (await register(door, "ben", "operator")).json()["id"]
    token = (await login(door, "ben")).json()["access_token"]

    page = (await call(door, "GET", "/api/v1/accounts?limit=1", admin)).json()["data"]
    assert [each["username"] for each in page["items"]] == ["ada"]
    rest = f"/api/v1/accounts?cursor={page['next_cursor']}"
    page = (await call(door, "GET", rest, admin)).json()["data"]
    assert [each["username"] for each in page["items"]] == ["ben"]
    assert page["next_cursor"] is None

    path = f"/api/v1/accounts/{ben}"
    changed = await call(door, "PUT", f"{path}/role", admin, {"role": "viewer"})
    assert changed.json()["data"]["role"] == "viewer"
    assert changed.json()["position"] > 0
    assert (await me(door, token)).json()["role"] == "viewer"  # at once, no new login

    new = await call(door, "PUT", f"{path}/password", admin, {"password": OTHER})
    assert new.status_code == 200
    assert (await me(door, token)).status_code == 401
    token = (await login(door, "ben", OTHER)).json()["access_token"]

    assert (await call(door, "GET", path, admin)).json()["data"]["username"] == "ben"
    closed = await call(door, "DELETE", path, admin)
    assert closed.json()["data"]["closed"] is True
    assert (await me(door, token)).status_code == 401
    assert (await login(door, "ben", OTHER)).status_code == 401
    for method, at, body in (
        ("GET", path, None),
        ("DELETE", path, None),
        ("PUT", f"{path}/password", {"password": OTHER}),
        ("PUT", f"{path}/role", {"role": "admin"}),
    ):
        assert (await call(door, method, at, admin, body)).status_code == 404
