"""What nobody should send to a door: credentials of another kind, and pages without end."""

from __future__ import annotations

from typing import Any

import httpx2
import pytest

from services.query.routes import application
from tests.accounts_door import a_gateway, a_pool, call, me, tokens_of
from tests.gateway_door import TOKEN

MILLION = 1_000_000


class Nobody:
    samples_kept = 10


async def test_no_credential_opens_a_door_of_another_kind(database: Any, tmp_path: Any):
    async with a_pool(database) as pool, a_gateway(pool, tmp_path) as door:
        given = await tokens_of(door, "ada", "admin")
        access, refresh = given["access_token"], given["refresh_token"]
        asked = {"name": "nightly", "role": "operator", "permissions": ["read"]}
        key = (await call(door, "POST", "/api/v1/keys", access, asked)).json()["data"]["key"]
        assert (await me(door, access)).status_code == 200
        for wrong in (refresh, f"{access}.{access}", access.rpartition(".")[0] + "."):
            for header in ({"authorization": f"Bearer {wrong}"}, {"x-api-key": wrong}):
                assert (await me(door, header)).status_code == 401, wrong
        for wrong in (access, key, TOKEN, refresh + "x", "qmr_"):
            renewed = await door.client.post("/auth/jwt/refresh", data={"refresh_token": wrong})
            assert renewed.status_code in {401, 422}, wrong
        assert (await me(door, access)).status_code == 200


def limited() -> list[str]:
    """Return every path of the query service that takes a limit, its places filled in."""
    described = application(Nobody()).openapi()["paths"]  # type: ignore[arg-type]
    found = []
    for path, operations in described.items():
        parameters = operations.get("get", {}).get("parameters", ())
        if any(each["name"] == "limit" for each in parameters):
            found.append(path.format(**{p["name"]: "x" for p in parameters if p["in"] == "path"}))
    return found


@pytest.mark.parametrize("path", limited())
async def test_no_list_takes_a_million_rows_at_once(path: str):
    transport = httpx2.ASGITransport(application(Nobody()))  # type: ignore[arg-type]
    async with httpx2.AsyncClient(transport=transport, base_url="http://query") as client:
        answer = await client.get(path, params={"limit": MILLION})
    assert answer.status_code == 422, path
    assert "limit" in {error["field"] for error in answer.json()["errors"]}


def test_every_list_is_among_them():
    assert {"/environments", "/models", "/nodes", "/gpus", "/events", "/alerts"} <= set(limited())
