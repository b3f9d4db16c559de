"""The gateway's connections to the query service, over real sockets: kept, ended, asked again."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest
import uvloop

from services.chassis.errors import Refused, Unavailable
from services.gateway.adapters.client import Client
from services.gateway.adapters.query import QueryService
from tests.in_memory import ended, until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

HELLO = b'HTTP/1.1 200 OK\r\ncontent-length: 5\r\netag: "7-a"\r\nQM-Position: 7\r\n\r\nhello'
FOREIGN = HELLO.replace(b"hello", b"other")
HANG_UP = b""
SAY_NOTHING = None


@dataclass
class Scripted:
    """A server that says one thing after the other, whatever it is asked; at last only HELLO."""

    script: list[bytes | None] = field(default_factory=list)
    heads: list[str] = field(default_factory=list)
    connections: int = 0
    lost: int = 0
    url: str = ""
    listening: asyncio.Server | None = None
    writers: list[asyncio.StreamWriter] = field(default_factory=list)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self.writers.append(writer)
        try:
            while True:
                self.heads.append((await reader.readuntil(b"\r\n\r\n")).decode())
                said = self.script.pop(0) if self.script else HELLO
                if said == HANG_UP:
                    return
                for part in (said or b"").split(b"|"):
                    writer.write(part)
                    await writer.drain()
                    await asyncio.sleep(0.02 if b"|" in (said or b"") else 0)
        except (asyncio.IncompleteReadError, ConnectionError):
            self.lost += 1
        finally:
            writer.close()


@asynccontextmanager
async def a_server(*script: bytes | None) -> AsyncIterator[Scripted]:
    made = Scripted(list(script))
    server = made.listening = await asyncio.start_server(made.serve, "127.0.0.1", 0)
    made.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield made
    finally:
        server.close()
        for writer in made.writers:
            writer.close()


@asynccontextmanager
async def asking(
    *script: bytes | None, silence_s: float = 5.0, most: int = 100
) -> AsyncIterator[tuple[Scripted, Client]]:
    async with a_server(*script) as server:
        client = Client(server.url, silence_s=silence_s, most=most)
        try:
            yield server, client
        finally:
            await client.close()


async def test_a_connection_is_used_again():
    async with asking() as (server, client):
        for _ in range(3):
            answered = await client.get("/nodes?limit=2", {"if-none-match": '"6-b"'})
    assert (answered.status, answered.body) == (200, b"hello")
    assert answered.headers[b"qm-position"] == b"7"
    assert server.connections == 1
    assert server.heads[0].startswith("GET /nodes?limit=2 HTTP/1.1\r\n")
    assert '\r\nif-none-match: "6-b"\r\n' in server.heads[0]


async def test_an_address_may_say_who_asks_and_under_which_path():
    async with a_server() as server:
        client = Client(server.url.replace("http://", "http://me:p%40ss@") + "/inside/")
        await client.get("/nodes", {})
        await client.close()
    assert server.heads[0].startswith("GET /inside/nodes HTTP/1.1\r\n")
    assert "authorization: Basic bWU6cEBzcw==\r\n" in server.heads[0]
    assert f"Host: {server.url.removeprefix('http://')}\r\n" in server.heads[0]


@pytest.mark.parametrize("url", ["query:8082", "ftp://query", "http://"])
def test_an_address_that_is_none_is_refused(url):
    with pytest.raises(Refused, match="address"):
        Client(url)


def test_it_speaks_on_the_loop_that_services_run_on():
    async def asked_twice() -> tuple[bytes, int]:
        async with asking() as (server, client):
            await client.get("/", {})
            return (await client.get("/", {})).body, server.connections

    assert uvloop.run(asked_twice()) == (b"hello", 1)


async def test_an_idle_connection_that_the_server_closed_is_replaced():
    async with asking() as (server, client):
        await client.get("/", {})
        server.writers[0].close()
        await asyncio.sleep(0)
        assert (await client.get("/", {})).body == b"hello"
    assert server.connections == 2


async def test_a_connection_that_closes_instead_of_answering_is_asked_again_once():
    async with asking(HELLO, HANG_UP) as (server, client):
        await client.get("/", {})
        assert (await client.get("/", {})).body == b"hello"
        assert server.connections == 2
    async with asking(HELLO, HANG_UP, HANG_UP) as (server, client):
        await client.get("/", {})
        with pytest.raises(OSError, match="disconnected"):
            await client.get("/", {})
        assert len(server.heads) == 3


@pytest.mark.parametrize(
    "said",
    [
        b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\nconnection: close\r\n\r\nhalf",
        b"SSH-2.0-nobody\r\n",
    ],
)
async def test_what_is_no_whole_answer_is_an_error_and_ends_the_connection(said):
    async with asking(said, silence_s=0.2) as (server, client):
        with pytest.raises(OSError, match=r"Timeout|not answer in HTTP"):
            await client.get("/", {})
        assert (await client.get("/", {})).body == b"hello"
    assert server.connections == 2


async def test_a_second_answer_to_one_question_reaches_nobody():
    async with asking(HELLO + FOREIGN) as (server, client):
        assert (await client.get("/", {})).body == b"hello"
        assert (await client.get("/", {})).body == b"hello"
    assert server.connections == 2


async def test_an_answer_that_breaks_off_is_not_asked_for_again():
    half = b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhalf"
    async with asking(HELLO, half) as (server, client):
        await client.get("/", {})
        asked = asyncio.create_task(client.get("/", {}))
        await until(lambda: len(server.heads) == 2)
        await asyncio.sleep(0.02)
        server.writers[0].close()
        with pytest.raises(OSError, match="payload"):
            await asked
    assert len(server.heads) == 2


@pytest.mark.parametrize(
    ("said", "status", "body"),
    [
        (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nhe\r\n|3\r\nllo\r\n0\r\n\r\n", 200, b"hello"),
        (b"HTTP/1.1 304 Not Modified\r\ncontent-length: 5\r\n\r\n", 304, b""),
        (b"HTTP/1.1 103 Early Hints\r\n\r\n|" + HELLO, 200, b"hello"),
        (b"HTTP/1.1 302 Found\r\nlocation: /other\r\ncontent-length: 0\r\n\r\n", 302, b""),
        (b"HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: 4\r\n\r\n\x1f\x8b\x08\x00", 200, b"\x1f\x8b\x08\x00"),
        (b"HTTP/1.1 503 Busy\r\ncontent-length: 2\r\n\r\n{}", 503, b"{}"),
    ],
)  # fmt: skip
async def test_answers_of_every_form_leave_the_connection_usable(said, status, body):
    async with asking(said) as (server, client):
        answered = await client.get("/", {})
        assert (answered.status, answered.body) == (status, body)
        assert (await client.get("/", {})).body == b"hello"
    assert server.connections == 1


async def test_an_answer_without_a_length_ends_with_its_connection():
    async with asking(b"HTTP/1.1 200 OK\r\n\r\nhel|lo") as (server, client):
        asked = asyncio.create_task(client.get("/", {}))
        await until(lambda: len(server.heads) == 1)
        await asyncio.sleep(0.06)
        server.writers[0].close()
        assert (await asked).body == b"hello"


async def test_neither_cookies_nor_proxies_of_the_environment_are_used(monkeypatch):
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    async with asking(HELLO.replace(b"\r\n", b"\r\nset-cookie: a=b\r\n", 1)) as (server, client):
        await client.get("/", {})
        await client.get("/", {})
    assert "cookie" not in server.heads[1].lower()


async def test_silence_is_an_error_and_slowness_is_none():
    slow = b"HTTP/1.1 200 OK\r\ncontent-length: 8\r\n\r\n" + b"|".join([b"x"] * 8)
    async with asking(slow, SAY_NOTHING, silence_s=0.1) as (server, client):
        assert (await client.get("/", {})).body == b"x" * 8
        with pytest.raises(TimeoutError):
            await client.get("/", {})
        assert (await client.get("/", {})).body == b"hello"
    assert (server.connections, len(server.heads)) == (2, 3)


async def test_a_connection_may_be_idle_for_longer_than_an_answer_may_take():
    async with asking(silence_s=0.1) as (server, client):
        await client.get("/", {})
        await asyncio.sleep(0.2)
        assert (await client.get("/", {})).body == b"hello"
    assert server.connections == 1


async def test_who_stops_waiting_takes_the_connection_with_them():
    async with asking(SAY_NOTHING) as (server, client):
        asked = asyncio.create_task(client.get("/", {}))
        await until(lambda: len(server.heads) == 1)
        await ended(asked)
        await until(lambda: server.lost == 1)
        assert (await client.get("/", {})).body == b"hello"
    assert server.connections == 2


async def test_who_comes_when_all_connections_are_in_use_waits_for_one():
    async with asking(most=2, silence_s=0.3) as (server, client):
        answers = await asyncio.gather(*(client.get("/", {}) for _ in range(9)))
        assert [each.body for each in answers] == [b"hello"] * 9
        assert server.connections == 2
        server.script = [SAY_NOTHING, SAY_NOTHING]
        found = await asyncio.gather(
            *(client.get("/", {}) for _ in range(3)), return_exceptions=True
        )
    assert sum(isinstance(each, TimeoutError) for each in found) >= 2


async def test_a_query_service_that_is_away_is_unavailable_and_a_strange_tag_never_leaves():
    async with a_server() as server:
        query = QueryService(server.url)
        read = await query.get("/nodes", [("a b", "c&d")], '"7-a"')
        assert (read.status, read.etag, read.position) == (200, '"7-a"', 7)
        assert server.heads[0].startswith("GET /nodes?a+b=c%26d HTTP/1.1")
        with pytest.raises(Refused):
            await query.get("/nodes", [], "x\r\nhost: elsewhere")
        await query.get("/history/node/ä b\r\nx", [], None)
        assert server.heads[1].startswith("GET /history/node/%C3%A4%20b%0D%0Ax HTTP/1.1")
        server.listening.close()
        for writer in server.writers:
            writer.close()
        with pytest.raises(Unavailable, match="does not answer"):
            await query.get("/nodes", [], None)
        await query.close()
