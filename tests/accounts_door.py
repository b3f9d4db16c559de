"""A gateway over its real tables, and people who come in through its doors."""

from __future__ import annotations

from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx2

from services.chassis.database import connect_pool
from services.gateway.adapters import door_keys
from services.gateway.service import keep
from tests.gateway_door import BEARER, Door, a_door, settings
from tests.memory_accounts import quick_argon2

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from services.chassis.database import Database
    from tests.platform import LogDatabase

PASSWORD = "correct horse battery staple"


@asynccontextmanager
async def a_pool(database: LogDatabase) -> AsyncIterator[Database]:
    """The gateway's tables, emptied afterwards."""
    pool = await connect_pool(database.url("gateway"), service="gateway")
    yield pool
    await pool.execute(
        "delete from gateway.credentials; delete from gateway.sessions;"
        " delete from gateway.attempts; delete from gateway.idempotency;"
        " update gateway.authority set position = 0"
    )
    await pool.close()


@asynccontextmanager
async def a_gateway(pool: Any, directory: Path, **changes: Any) -> AsyncIterator[Door]:
    keys = door_keys.load(directory, settings().api_token)
    own = replace(keep(pool, keys, settings(**changes)), passwords=quick_argon2())
    async with a_door(own, **changes) as opened:
        opened.client.headers.clear()
        yield opened


async def call(door: Door, method: str, path: str, who: Any = None, body: Any = None, **headers):
    if isinstance(who, dict):
        headers = {**who, **headers}
    elif who:
        headers["authorization"] = f"Bearer {who}"
    return await door.client.request(method, path, json=body, headers=headers)


async def register(door: Door, name: str, role: str | None = None, who: Any = BEARER, **more):
    body = {"username": name, "password": PASSWORD, **({"role": role} if role else {}), **more}
    return await call(door, "POST", "/auth/register", who, body)


async def login(door: Door, name: str, password: str = PASSWORD, **headers: str):
    form = {"username": name, "password": password, "grant_type": "password"}
    return await door.client.post("/auth/jwt/login", data=form, headers=headers)


async def tokens_of(door: Door, name: str, role: str | None = None) -> dict[str, Any]:
    """Register an account and log in."""
    made = await register(door, name, role)
    assert made.status_code == 201, made.text
    return (await login(door, name)).json()


async def access_of(door: Door, name: str, role: str | None = None) -> str:
    return (await tokens_of(door, name, role))["access_token"]


async def me(door: Door, who: Any) -> httpx2.Response:
    return await call(door, "GET", "/auth/me", who)
