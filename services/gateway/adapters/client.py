"""Kept connections to one HTTP server that is only asked."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import aiohttp
from yarl import URL

from services.chassis.errors import Refused

if TYPE_CHECKING:
    from collections.abc import Mapping

CONNECT_S, SILENCE_S = 2.0, 15.0
MOST = 100  # connections; who comes when all are in use waits for one, SILENCE_S at most
# Shorter than any server of ours keeps an idle connection.
KEEP_S = 60.0


@dataclass(frozen=True, slots=True)
class Answered:
    """An answer; the names of its headers are in small letters."""

    status: int
    headers: Mapping[bytes, bytes]
    body: bytes


class Server(Protocol):
    """What is asked."""

    async def get(self, target: str, headers: Mapping[str, str]) -> Answered:
        """Return what is answered; target: path and query, escaped. Raises OSError."""

    async def close(self) -> None:
        """Close the connections."""


class Client:
    """A server over kept connections; made and used on one loop."""

    def __init__(self, url: str, *, silence_s: float = SILENCE_S, most: int = MOST) -> None:
        """Raise Refused when the URL is none of HTTP."""
        base = URL(url)
        if base.scheme not in {"http", "https"} or not base.host:
            raise Refused("the query service's address begins with http:// or https://")
        self._base = f"{base.origin()}{base.raw_path.rstrip('/')}"
        self._http = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=most, keepalive_timeout=KEEP_S),
            timeout=aiohttp.ClientTimeout(
                connect=silence_s, sock_connect=CONNECT_S, sock_read=silence_s
            ),
            headers={"accept-encoding": "identity"} | _proof(base),
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,  # bodies are handed on as they come
        )

    async def get(self, target: str, headers: Mapping[str, str]) -> Answered:
        """Return what is answered; target: path and query, escaped.

        Asked again once when a connection closes instead of answering. Raises OSError when nobody
        answers, not in time, or not in HTTP.
        """
        url = URL(self._base + target, encoded=True)
        try:
            async with self._http.get(url, headers=headers, allow_redirects=False) as said:
                names = {name.lower(): value for name, value in said.raw_headers}
                return Answered(said.status, names, await said.read())
        except OSError:  # many of the library's errors are
            raise
        except aiohttp.ClientResponseError as error:
            raise ConnectionError("it does not answer in HTTP") from error
        except aiohttp.ClientError as error:
            raise ConnectionError(str(error) or type(error).__name__) from error

    async def close(self) -> None:
        """Close the connections, also those in use."""
        await self._http.close()


def _proof(base: URL) -> dict[str, str]:
    """Return who asks, when the address says so."""
    if base.user is None and base.password is None:
        return {}
    return {"authorization": aiohttp.encode_basic_auth(base.user or "", base.password or "")}
