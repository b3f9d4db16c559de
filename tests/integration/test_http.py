"""The HTTP server of the chassis, over real sockets: bounds, problems, and a quiet end."""

from __future__ import annotations

import asyncio
import signal
import socket
from contextlib import suppress

import httpx2
import orjson
import pytest
from fastapi import FastAPI, Request, Response

from services.chassis import connections
from services.chassis.errors import Refused, Unavailable
from services.chassis.http import install_problems, serve
from tests.in_memory import ended, until

LONG = 32 * 1024 * 1024


def an_app() -> FastAPI:
    app = FastAPI()
    install_problems(app, max_body_bytes=1000, body_s=0.3)

    @app.post("/echo")
    async def echo(request: Request) -> int:
        return len(await request.body())

    @app.get("/refused")
    async def refused() -> None:
        raise Refused("no such luck", field="luck", most=3)

    @app.get("/long")
    async def long() -> Response:
        return Response(bytes(LONG))

    @app.get("/slow")
    async def slow() -> None:
        await asyncio.sleep(60)

    return app


def a_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


@pytest.fixture
async def url():
    port, stop = a_port(), asyncio.Event()
    serving = asyncio.create_task(serve(an_app(), "127.0.0.1", port, stop))
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        stop.set()
        async with asyncio.timeout(5):
            await serving


async def test_errors_are_problems(url):
    async with httpx2.AsyncClient(base_url=url) as client:
        answer = await client.get("/refused")
        assert answer.status_code == 422
        assert answer.headers["content-type"] == "application/problem+json"
        problem = answer.json()
        assert problem["errors"] == [{"field": "luck", "message": "no such luck"}]
        assert problem["numbers"] == {"most": 3}
        assert problem["instance"] == "/refused"
        missing = await client.get("/nothing")
        assert (missing.status_code, missing.json()["status"]) == (404, 404)
        assert (await client.put("/echo")).headers["allow"] == "POST"


async def test_a_body_within_the_bound_arrives_whole(url):
    async with httpx2.AsyncClient(base_url=url) as client:
        body = orjson.dumps({"a": "x" * 900})
        answer = await client.post(
            "/echo", content=body, headers={"content-type": "application/json; charset=utf-8"}
        )
        assert answer.json() == len(body)
        assert (await client.post("/echo")).json() == 0


async def test_a_body_that_never_ends_is_given_up(url):
    host, port = url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    head = "POST /echo HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n"
    writer.write(f"{head}content-length: 900\r\n\r\n{{".encode())
    async with asyncio.timeout(5):
        assert b"408" in await reader.readline()
    writer.close()


@pytest.mark.parametrize("first", [b"", b"GET /refused HTTP/1.1\r\nhost: x\r\n\r\n"])
async def test_who_never_says_what_is_wanted_is_let_go(url, first, monkeypatch):
    monkeypatch.setattr(connections, "HEAD_S", 0.3)
    host, port = url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(first + b"GET /refused HTTP/1.1\r\nx-slow: ")
    with suppress(ConnectionResetError):
        async with asyncio.timeout(5):
            said = await reader.read()
            assert said.startswith(b"HTTP/1.1 422") is bool(first)
    writer.close()


async def test_a_request_that_has_begun_may_take_its_time(url, monkeypatch):
    monkeypatch.setattr(connections, "HEAD_S", 0.1)
    host, port = url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    head = "POST /echo HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n"
    writer.write(f"{head}content-length: 2\r\n\r\n{{".encode())
    await asyncio.sleep(0.2)
    writer.write(b"}")
    async with asyncio.timeout(5):
        assert b"200" in await reader.readline()
    writer.close()


async def a_reader_of_much(url) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    host, port = url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(b"GET /long HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
    return reader, writer


async def test_who_does_not_take_its_answer_is_let_go(url, monkeypatch):
    monkeypatch.setattr(connections, "TAKE_S", 0.3)
    reader, writer = await a_reader_of_much(url)
    await asyncio.sleep(1)
    taken = 0
    with suppress(ConnectionResetError):
        async with asyncio.timeout(5):
            while part := await reader.read(LONG):
                taken += len(part)
    assert 0 < taken < LONG
    writer.close()


async def test_a_slow_reader_that_keeps_reading_gets_it_all(url, monkeypatch):
    monkeypatch.setattr(connections, "TAKE_S", 0.4)
    reader, writer = await a_reader_of_much(url)
    await reader.readuntil(b"\r\n\r\n")
    taken = 0
    async with asyncio.timeout(20):
        while taken < LONG:
            await asyncio.sleep(0.02)
            taken += len(await reader.readexactly(min(LONG - taken, LONG // 64)))
    assert taken == LONG
    writer.close()


async def test_a_body_of_unsaid_length_is_cut_off_at_the_bound(url):
    host, port = url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    head = "POST /echo HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n"
    chunk = b"64\r\n" + b" " * 100 + b"\r\n"
    writer.write(f"{head}transfer-encoding: chunked\r\n\r\n".encode() + 11 * chunk)
    async with asyncio.timeout(5):
        assert b"413" in await reader.readline()
    writer.close()


async def test_an_open_request_does_not_keep_the_server_from_ending():
    port, stop = a_port(), asyncio.Event()
    serving = asyncio.create_task(serve(an_app(), "127.0.0.1", port, stop))
    async with httpx2.AsyncClient(base_url=f"http://127.0.0.1:{port}") as client:
        asking = asyncio.create_task(client.get("/slow"))
        await asyncio.sleep(0.2)
        stop.set()
        async with asyncio.timeout(5):
            await serving
        with pytest.raises(httpx2.HTTPError):
            (await asking).raise_for_status()


async def test_a_cancelled_server_frees_its_port():
    port = a_port()
    for _ in range(2):
        serving = asyncio.create_task(serve(an_app(), "127.0.0.1", port, asyncio.Event()))
        await until(lambda: _answers(port), "a listener")
        await ended(serving)


async def test_the_signals_stay_the_chassis_own():
    before = signal.getsignal(signal.SIGTERM)
    stop = asyncio.Event()
    serving = asyncio.create_task(serve(an_app(), "127.0.0.1", a_port(), stop))
    await asyncio.sleep(0.2)
    assert signal.getsignal(signal.SIGTERM) is before
    stop.set()
    await serving


async def test_a_taken_port_is_unavailable():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(Unavailable, match="cannot listen"):
            await serve(an_app(), "127.0.0.1", taken.getsockname()[1], asyncio.Event())


def _answers(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
