"""The client of a node's agent: bounded in time and bytes, and only to machines we may reach."""

from __future__ import annotations

import asyncio
import socket
import ssl
from contextlib import contextmanager
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, TypeVar

import httpx2
import orjson
from pydantic import BaseModel, ValidationError

from contracts.http.agent import InstanceAnswer, Killed, NodeStatus
from services.chassis import tracing
from services.chassis.errors import Conflict, NotFound, QuartermasterError, Refused, Unavailable
from services.chassis.targets import PRIVATE_NETWORKS, AllowList

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator, Mapping

    from contracts.http.agent import KillCommand, StartCommand, StopCommand

MAX_ANSWER_BYTES = 1024 * 1024
CONNECTIONS = 64
_Answer = TypeVar("_Answer", bound=BaseModel)
# A dead peer is noticed by the kernel within about 9 s, also while a long poll waits.
_KEEPALIVE = [
    (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
    (socket.IPPROTO_TCP, socket.TCP_NODELAY, 1),
    (socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 3),
    (socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 2),
    (socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 3),
]


@dataclass(frozen=True, slots=True)
class Access:
    """How agents are spoken to: what proves us to them, them to us, and where they may be.

    answer_s: patience beyond the time a question itself asks the agent to wait.
    """

    token: str | None = field(default=None, repr=False)
    ca: str | None = None
    cert: str | None = None
    key: str | None = None
    networks: tuple[str, ...] = PRIVATE_NETWORKS
    answer_s: float = 3.0


class Agents:
    """Makes one client per node, so that no agent feels what another does to its connections."""

    def __init__(self, access: Access) -> None:
        self._access = access
        self._allowed = AllowList(access.networks, resolve_s=access.answer_s)
        self._tls = _tls(access)

    def connect(self, url: str) -> Agent:
        """Return a client; nothing is connected before the first question."""
        return Agent(url, self._access, self._allowed, self._tls)


class Agent:
    """One node's agent.

    Unavailable: no answer, or none that makes sense (ask again). Conflict: fenced, held, another
    boot; `numbers["code"]` says which. NotFound, Refused: the agent's own words.
    """

    def __init__(self, url: str, access: Access, allowed: AllowList, tls: ssl.SSLContext) -> None:
        self._url, self._access, self._allowed = url, access, allowed
        self._base: httpx2.URL | None = None
        self._name, self._failures = "", 0
        headers = {"accept-encoding": "identity"}
        if access.token:
            headers["authorization"] = f"Bearer {access.token}"
        limits = httpx2.Limits(max_connections=CONNECTIONS, keepalive_expiry=90.0)
        transport = httpx2.AsyncHTTPTransport(
            verify=tls, trust_env=False, limits=limits, socket_options=_KEEPALIVE
        )
        self._http = httpx2.AsyncClient(
            transport=transport, headers=headers, timeout=None, trust_env=False
        )

    async def status(self, since: int | None = None, wait_s: float = 0.0) -> NodeStatus:
        """Return everything about the node, waiting up to `wait_s` for something after `since`."""
        path = "status" if since is None else f"status?since={since}&wait_s={wait_s:g}"
        return await self._ask("GET", path, NodeStatus, wait_s=wait_s)

    async def instance(self, instance_id: str, wait_s: float = 0.0) -> InstanceAnswer:
        """Return how an instance is, waiting up to `wait_s` while it is starting or stopping."""
        path = f"instances/{instance_id}?wait_s={wait_s:g}"
        return await self._ask("GET", path, InstanceAnswer, wait_s=wait_s)

    async def start(self, command: StartCommand) -> InstanceAnswer:
        """Ask for a worker; the same instance_id again answers how that one is."""
        return await self._ask("POST", "instances", InstanceAnswer, command)

    async def stop(self, instance_id: str, command: StopCommand) -> InstanceAnswer:
        """Ask for a worker's death, waiting for it through its grace."""
        path = f"instances/{instance_id}/stop"
        return await self._ask("POST", path, InstanceAnswer, command, wait_s=command.grace_s)

    async def kill(self, pid: int, command: KillCommand) -> Killed:
        """Ask for a process to be killed."""
        return await self._ask("POST", f"processes/{pid}/kill", Killed, command)

    async def logs(self, instance_id: str, tail: int, *, follow: bool) -> AsyncIterator[bytes]:
        """Return a worker's last lines, and with `follow` what comes, until it ends."""
        path = f"instances/{instance_id}/logs?tail={tail}&follow={'true' if follow else 'false'}"
        with self._mapped():
            async with asyncio.timeout(self._access.answer_s):
                response = await self._send("GET", path, None)
                if response.status_code >= HTTPStatus.BAD_REQUEST:
                    try:
                        raise _problem(response.status_code, await _bounded(response))
                    finally:
                        await response.aclose()
        return self._rest(response)

    async def _rest(self, response: httpx2.Response) -> AsyncIterator[bytes]:
        try:
            with self._mapped():
                async for chunk in response.aiter_raw():
                    yield chunk
        finally:
            await response.aclose()

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def _ask(
        self,
        method: str,
        path: str,
        shape: type[_Answer],
        command: BaseModel | None = None,
        *,
        wait_s: float = 0.0,
    ) -> _Answer:
        """Return the parsed answer."""
        with self._mapped():
            async with asyncio.timeout(wait_s + self._access.answer_s):
                status, body = await self._exchange(method, path, command)
            if status >= HTTPStatus.BAD_REQUEST:
                raise _problem(status, body)
            return shape.model_validate_json(body)

    @contextmanager
    def _mapped(self) -> Iterator[None]:
        """Turn every failure on the way into one of our errors."""
        try:
            yield
        except QuartermasterError:
            raise
        except TimeoutError as error:
            self._failed()
            raise Unavailable("the agent did not answer in time") from error
        except ValidationError as error:
            raise Unavailable(f"the agent's answer makes no sense: {_first(error)}") from error
        except (httpx2.HTTPError, httpx2.StreamError, OSError) as error:
            self._failed()
            reason = str(error) or type(error).__name__
            raise Unavailable(f"the agent cannot be reached: {reason}") from error
        except (httpx2.InvalidURL, ValueError) as error:
            raise Refused(f"{self._url} is no address of an agent: {error}") from error

    async def _exchange(
        self, method: str, path: str, command: BaseModel | None
    ) -> tuple[int, bytes]:
        response = await self._send(method, path, command)
        try:
            return response.status_code, await _bounded(response)
        finally:
            await response.aclose()

    async def _send(self, method: str, path: str, command: BaseModel | None) -> httpx2.Response:
        base = self._base or await self._checked()
        with tracing.calling(method, base.host, base.port) as call:
            response = await self._http.send(
                self._request(base, method, path, command, call.headers), stream=True
            )
            call.status = response.status_code
            return response

    def _request(
        self,
        base: httpx2.URL,
        method: str,
        path: str,
        command: BaseModel | None,
        trace: Mapping[str, str],
    ) -> httpx2.Request:
        content = None if command is None else command.model_dump_json().encode()
        return self._http.build_request(
            method,
            f"{base}/{path}",
            content=content,
            headers={"host": self._name, "content-type": "application/json", **trace},
            extensions={"sni_hostname": httpx2.URL(self._url).host},
        )

    async def _checked(self) -> httpx2.URL:
        """Return the base URL with the name replaced by its checked address."""
        url = httpx2.URL(self._url.rstrip("/"))
        if url.scheme not in {"http", "https"} or not url.host:
            raise Refused(f"{self._url} is no address of an agent")
        self._name = url.netloc.decode("ascii")
        addresses = await self._allowed.addresses(url.host)
        self._base = url.copy_with(host=addresses[self._failures % len(addresses)])
        return self._base

    def _failed(self) -> None:
        """Resolve anew before the next question, and try the name's next address."""
        self._base = None
        self._failures += 1


def _tls(access: Access) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=access.ca)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    if access.cert:
        context.load_cert_chain(access.cert, access.key)
    return context


async def _bounded(response: httpx2.Response) -> bytes:
    """Return the body; Unavailable when it is longer than an agent has reason to be."""
    body = bytearray()
    async for chunk in response.aiter_raw():
        body += chunk
        if len(body) > MAX_ANSWER_BYTES:
            raise Unavailable(f"the agent's answer is longer than {MAX_ANSWER_BYTES} bytes")
    return bytes(body)


def _problem(status: int, body: bytes) -> QuartermasterError:
    detail, code = _said(body)
    sentence = f"the agent answered {status}: {detail or 'no reason given'}"
    if status == HTTPStatus.CONFLICT:
        return Conflict(sentence, code=code)
    if status == HTTPStatus.NOT_FOUND:
        return NotFound(sentence, code=code)
    if status in {HTTPStatus.BAD_REQUEST, HTTPStatus.UNPROCESSABLE_ENTITY}:
        return Refused(sentence, code=code)
    return Unavailable(sentence, code=code)


def _said(body: bytes) -> tuple[str, str]:
    """Return the sentence and the code of a problem answer (RFC 9457); empty where it has none."""
    try:
        problem: Any = orjson.loads(body)
    except ValueError:
        return "", ""
    if not isinstance(problem, dict):
        return "", ""
    kind = str(problem.get("code") or problem.get("type") or "")
    code = kind.rstrip("/").replace("#", "/").replace(":", "/").rsplit("/", 1)[-1]
    return str(problem.get("detail") or problem.get("title") or "")[:1000], code[:64]


def _first(error: ValidationError) -> str:
    problem = error.errors(include_url=False, include_input=False, include_context=False)[0]
    where = ".".join(str(part) for part in problem["loc"])
    return f"{where}: {problem['msg']}" if where else problem["msg"]
