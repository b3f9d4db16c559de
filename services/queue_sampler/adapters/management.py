"""A foreign broker's Management API: how much waits in a queue, and why that cannot be said."""

from __future__ import annotations

import asyncio
from http import HTTPStatus
from typing import Any
from urllib.parse import quote

import httpx2
import orjson

from contracts.types import QueueAddress
from services.chassis.errors import Refused, Unavailable
from services.chassis.targets import AllowList
from services.queue_sampler.state import Answer, Failure, NotYet, Reading

MAX_ANSWER_BYTES = 1024 * 1024
_FAILURES: dict[int, Failure] = {
    HTTPStatus.UNAUTHORIZED: Failure("unauthorized", "the broker refuses the user or password"),
    HTTPStatus.FORBIDDEN: Failure("unauthorized", "the broker does not let the user see the queue"),
    HTTPStatus.NOT_FOUND: Failure("not_found", "the broker has no such queue or virtual host"),
}


PLAIN = {"accept-encoding": "identity"}


class _TooLongError(Exception):
    """The answer is longer than anything a queue has to say."""


class ManagementApi:
    """Reads queues of many brokers, each within `timeout_s`, whole answer included."""

    def __init__(self, networks: AllowList, *, timeout_s: float) -> None:
        self._networks, self._timeout_s = networks, timeout_s
        # No proxy and no redirect: the address that was checked is the one that is asked.
        transport = httpx2.AsyncHTTPTransport(trust_env=False)
        self._client = httpx2.AsyncClient(
            transport=transport, timeout=timeout_s, follow_redirects=False, trust_env=False
        )

    async def read(self, address: QueueAddress, password: str) -> Answer:
        """Return what the API says of a queue; every fault of the broker is a Failure."""
        try:
            async with asyncio.timeout(self._timeout_s):
                status, body = await self._get(address, password)
        except (TimeoutError, httpx2.TimeoutException):
            return Failure("unreachable", f"no answer in {self._timeout_s:g} s")
        except (Refused, Unavailable) as error:
            return Failure("unreachable", error.detail)
        except httpx2.TransportError as error:
            return Failure("unreachable", f"no connection: {error}")
        except (_TooLongError, httpx2.HTTPError) as error:
            return Failure("bad_answer", f"the answer cannot be read: {error!r}")
        if status == HTTPStatus.OK:
            return parse(body)
        return _FAILURES.get(
            status, Failure("bad_answer", f"the broker answers with status {status}")
        )

    async def close(self) -> None:
        """Close every connection."""
        await self._client.aclose()

    async def _get(self, address: QueueAddress, password: str) -> tuple[int, bytes]:
        path = f"/api/queues/{quote(address.vhost, safe='')}/{quote(address.name, safe='')}"
        tried = await self._networks.addresses(address.host)
        for number, ip in enumerate(tried, 1):
            try:
                return await self._get_at(ip, path, address, password)
            except httpx2.ConnectError:
                if number == len(tried):
                    raise
        raise Unavailable(f"{address.host} has no address")

    async def _get_at(
        self, ip: str, path: str, address: QueueAddress, password: str
    ) -> tuple[int, bytes]:
        host = f"[{ip}]" if ":" in ip else ip
        request = self._client.build_request(
            "GET",
            f"http://{host}:{address.port}{path}",
            headers={"host": f"{_ascii(address.host)}:{address.port}", **PLAIN},
        )
        auth = httpx2.BasicAuth(address.username, password)
        response = await self._client.send(request, auth=auth, stream=True)
        try:
            return response.status_code, await _bounded(response)
        finally:
            await response.aclose()


def _ascii(host: str) -> str:
    """Return a name as a header may hold it; raises Refused when it has no such form."""
    try:
        return host if host.isascii() else host.encode("idna").decode("ascii")
    except UnicodeError as error:
        raise Refused(f"{host} is no name of a host: {error}") from error


async def _bounded(response: httpx2.Response) -> bytes:
    body = bytearray()
    async for chunk in response.aiter_raw():
        body += chunk
        if len(body) > MAX_ANSWER_BYTES:
            raise _TooLongError(f"it is longer than {MAX_ANSWER_BYTES} bytes")
    return bytes(body)


def parse(body: bytes) -> Answer:
    """Return the reading in an answer's body.

    messages: ready + unacknowledged. A broker leaves the counts out for the first seconds of a
    queue's life; that is not zero, it is unknown.
    """
    try:
        queue = orjson.loads(body)
        if queue["name"] and "messages_ready" not in queue:
            return NotYet("the broker has not counted the queue yet")
        # A queue to which nothing was ever published has no statistics: its first one must count.
        stats = queue.get("message_stats") or {}
        return Reading(
            _count(queue["messages_ready"]),
            _count(queue["messages_unacknowledged"]),
            _count(queue.get("consumers", 0)),
            _count(stats.get("publish") or 0),
        )
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        return Failure("bad_answer", f"the answer is not about a queue: {error!r}")


def _count(value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= 2**53:
        raise ValueError(f"{str(value)[:40]!r} is no number of messages")
    return value
