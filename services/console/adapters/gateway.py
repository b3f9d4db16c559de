"""The gateway, over HTTP: whatever it answers as data, whatever it refuses as data too."""

from __future__ import annotations

from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import httpx2
import orjson

from services.chassis import tracing
from services.chassis.errors import Unavailable

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping, Sequence

PATIENCE_S, CONNECT_S = 20.0, 2.0
SILENCE_S = 90.0  # the gateway says something in every silence, far more often
_BAD = 400
BESIDE = "/auth/"
_FORM = "application/x-www-form-urlencoded"


@dataclass(frozen=True, slots=True)
class Caller:
    """For whom the gateway is asked: what they hold, and where they are."""

    bearer: str | None = None
    address: str | None = None

    def headers(self) -> dict[str, str]:
        """Return what proves them, and says from where."""
        shown = {"authorization": f"Bearer {self.bearer}"} if self.bearer else {}
        return shown | ({"x-forwarded-for": self.address} if self.address else {})


@dataclass(frozen=True, slots=True)
class Answer:
    """What the gateway said: `data` of a success, else `detail` and `errors` by field."""

    status: int
    data: Any = None
    position: int | None = None
    timestamp: str | None = None
    detail: str = ""
    errors: Mapping[str, str] = field(default_factory=dict)

    @property
    def is_good(self) -> bool:
        """Return whether it was done or found."""
        return self.status < _BAD


@dataclass(frozen=True, slots=True)
class Told:
    """One recorded event of the live stream; None for a mere sign of life."""

    position: int
    event: Mapping[str, Any] | None


class Gateway:
    """Asks, in the name of whoever looks at a page."""

    def __init__(
        self, url: str, api: str, *, transport: httpx2.AsyncBaseTransport | None = None
    ) -> None:
        self._api = api
        self._http = httpx2.AsyncClient(
            base_url=url,
            timeout=httpx2.Timeout(PATIENCE_S, connect=CONNECT_S),
            limits=httpx2.Limits(max_connections=None, max_keepalive_connections=64),
            transport=transport,
            trust_env=False,
        )

    async def read(
        self, caller: Caller, path: str, parameters: Sequence[tuple[str, str]] = ()
    ) -> Answer:
        """Return what GET of a path below the API says; raises Unavailable."""
        return await self._ask("GET", self._api + path, caller, params=list(parameters))

    async def command(
        self, caller: Caller, method: str, path: str, body: Any = None, key: str | None = None
    ) -> Answer:
        """Return what a command came to; the same `key` again is the same command.

        path: below the API, or of the door beside it, /auth.
        """
        headers = {"idempotency-key": key} if key else {}
        content = None if body is None else orjson.dumps(body)
        if content is not None:
            headers["content-type"] = "application/json"
        place = path if path.startswith(BESIDE) else self._api + path
        return await self._ask(method, place, caller, content=content, headers=headers)

    async def login(self, caller: Caller, username: str, password: str) -> Answer:
        """Exchange a name and a password for tokens."""
        form = {"username": username, "password": password}
        return await self._ask("POST", "/auth/jwt/login", caller, data=form)

    async def refresh(self, caller: Caller, token: str) -> Answer:
        """Exchange a refresh token, which is good once, for new tokens."""
        return await self._ask("POST", "/auth/jwt/refresh", caller, data={"refresh_token": token})

    async def logout(self, caller: Caller) -> Answer:
        """End the session that the caller's token belongs to."""
        return await self._ask("POST", "/auth/jwt/logout", caller)

    async def me(self, caller: Caller) -> Answer:
        """Return who the caller is and what they may do."""
        return await self._ask("GET", "/auth/me", caller)

    @asynccontextmanager
    async def live(
        self, caller: Caller, after: int | None, types: Sequence[str]
    ) -> AsyncIterator[AsyncIterator[Told] | Answer]:
        """Open the log as it grows; yields a refusal as it is. Raises Unavailable."""
        headers = {"accept": "text/event-stream", **caller.headers()}
        params: dict[str, str | int] = {"types": ",".join(types)} if types else {}
        if after is not None:
            params["after"] = after
        timeout = httpx2.Timeout(SILENCE_S, connect=CONNECT_S)
        try:
            async with self._http.stream(
                "GET", f"{self._api}/events", params=params, headers=headers, timeout=timeout
            ) as response:
                if response.headers.get("content-type", "").startswith("text/event-stream"):
                    yield _told(response.aiter_lines())
                else:
                    yield _answer(response.status_code, await response.aread())
        except (httpx2.HTTPError, OSError) as error:
            raise Unavailable("the gateway's live stream ended") from error

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def _ask(self, method: str, path: str, caller: Caller, **more: Any) -> Answer:
        headers = {**more.pop("headers", {}), **caller.headers()}
        base = self._http.base_url
        try:
            with tracing.calling(method, base.host, base.port) as call:
                headers |= call.headers
                response = await self._http.request(method, path, headers=headers, **more)
                call.status = response.status_code
        except (httpx2.HTTPError, OSError) as error:
            raise Unavailable("the gateway does not answer") from error
        answer = _answer(response.status_code, response.content)
        told = response.headers.get("qm-position", "")
        if answer.position is None and told.isdecimal():
            return replace(answer, position=int(told))  # the door answers without an envelope
        return answer


async def _told(lines: AsyncIterator[str]) -> AsyncIterator[Told]:
    """Yield what a stream of events says; a comment says that it is alive."""
    async for line in lines:
        name, _, value = line.partition(":")
        if name == "data":
            event = orjson.loads(value)
            yield Told(int(event["position"]), event)
        elif not name and value:
            yield Told(0, None)


def _answer(status: int, body: bytes) -> Answer:
    try:
        said: Any = orjson.loads(body) if body else {}
    except ValueError:
        said = {}
    if not isinstance(said, dict):
        said = {}
    if status < _BAD:
        enveloped = "success" in said and "data" in said
        data = said["data"] if enveloped else said
        position = said.get("position") if enveloped else None
        return Answer(status, data, position, said.get("timestamp"))
    detail = str(said.get("detail") or said.get("message") or f"the gateway answered {status}")
    errors = {
        str(each.get("field", "")): str(each.get("message", ""))
        for each in said.get("errors") or ()
        if isinstance(each, dict)
    }
    return Answer(status, None, None, said.get("timestamp"), detail, errors)
