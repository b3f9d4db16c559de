"""The demo as a client of the platform: commands to the gateway, reads from the query service."""

import asyncio
import hashlib
import json
import time
from collections.abc import AsyncIterator, Mapping
from typing import Any

import httpx2

from deploy.demo.errors import DemoError

PATIENCE_S = 30.0
AGAIN_S = 0.25
TIMEOUT_S = 10.0
PAGE = 200
API = "/api/v1"
KEY = "Idempotency-Key"
SECRET = "rabbitmq_password"  # noqa: S105 (a field's name)


class Gateway:
    """Commands over HTTP; each carries a key, so that repeating one changes nothing."""

    def __init__(self, url: str, token: str, api: str = API) -> None:
        self._api = api
        headers = {"Authorization": f"Bearer {token}"}
        self._http = httpx2.AsyncClient(
            base_url=url, headers=headers, timeout=TIMEOUT_S, trust_env=False
        )

    async def put(self, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """Create a thing, or change the one of that name to what is wanted; return it."""
        answer = await self._send("POST", path, body)
        if answer.status_code == httpx2.codes.CONFLICT:
            known = await self._named(path, body["name"])
            changes = {key: value for key, value in body.items() if key not in _FIXED}
            answer = await self._send("PATCH", f"{path}/{known['id']}", changes)
        return dict(_data(answer))

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def _named(self, path: str, name: str) -> dict[str, Any]:
        listed = _data(await self._send("GET", f"{path}?limit={PAGE}"))
        items = listed["items"] if isinstance(listed, dict) else listed
        found = next((item for item in items if item["name"] == name), None)
        if found is None:
            raise DemoError(f"the gateway refuses {name} and does not list it under {path}")
        return dict(found)

    async def _send(
        self, method: str, path: str, body: Mapping[str, Any] | None = None
    ) -> httpx2.Response:
        """Send a request until something of sense answers, or patience ends."""
        headers = {KEY: _key(method, path, body)} if body is not None else {}
        until = time.monotonic() + PATIENCE_S
        while True:
            try:
                answer = await self._http.request(
                    method, self._api + path, json=body, headers=headers
                )
                if not _comes_too_soon(answer):
                    return answer
                trouble = answer.text
            except httpx2.HTTPError as error:
                trouble = repr(error)
            if time.monotonic() > until:
                raise DemoError(f"the gateway does not answer {method} {path}: {trouble}")
            await asyncio.sleep(AGAIN_S)


class Query:
    """Reads over HTTP; raises httpx2.HTTPError when nobody answers for `patience_s`."""

    def __init__(self, url: str, patience_s: float = 0.0) -> None:
        self._http = httpx2.AsyncClient(base_url=url, timeout=TIMEOUT_S, trust_env=False)
        self._patience_s = patience_s

    async def one(self, path: str) -> dict[str, Any]:
        """Return one thing."""
        return dict(await self._get(path))

    async def some(self, path: str, **narrow: Any) -> list[dict[str, Any]]:
        """Return the first page of a list."""
        return list((await self._get(path, **{"limit": PAGE, **narrow}))["items"])

    async def all(self, path: str, **narrow: Any) -> AsyncIterator[dict[str, Any]]:
        """Yield a whole list, page by page."""
        cursor: dict[str, str] = {}
        while True:
            page = await self._get(path, limit=PAGE, **narrow, **cursor)
            for item in page["items"]:
                yield item
            if page["next_cursor"] is None:
                return
            cursor = {"cursor": page["next_cursor"]}

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def _get(self, path: str, **parameters: Any) -> Any:
        until = time.monotonic() + self._patience_s
        while True:
            try:
                answer = await self._http.get(path, params=parameters)
                answer.raise_for_status()
                return answer.json()
            except httpx2.HTTPError:
                if time.monotonic() > until:
                    raise
                await asyncio.sleep(AGAIN_S)


_FIXED = frozenset({"environment_id", "policy", "active"})  # what a thing is created with


def _comes_too_soon(answer: httpx2.Response) -> bool:
    """Tell whether the same request may do better later: also behind one that is in flight."""
    if answer.status_code == httpx2.codes.CONFLICT:
        return KEY in answer.text
    return answer.status_code == httpx2.codes.SERVICE_UNAVAILABLE


def _key(method: str, path: str, body: Mapping[str, Any] | None) -> str:
    """Return the key of a command: the same command has the same key, in every run."""
    known = {name: value for name, value in (body or {}).items() if name != SECRET}
    content = json.dumps([method, path, known], sort_keys=True).encode()
    return f"demo-{hashlib.sha256(content).hexdigest()[:32]}"


def _data(answer: httpx2.Response) -> Any:
    if answer.is_success:
        return answer.json()["data"]
    try:
        problem = answer.json()
        fields = "; ".join(f"{e['field']}: {e['message']}" for e in problem.get("errors", ()))
        said = f"{problem.get('detail', answer.text)} {fields}".strip()
    except ValueError:
        said = answer.text
    raise DemoError(f"{answer.request.method} {answer.request.url.path}: {said}")
