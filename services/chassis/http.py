"""The HTTP server inside a service: the chassis owns the signals, problems have one form."""

from __future__ import annotations

import asyncio
import socket
import ssl
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import uvicorn

from services.chassis.bodies import BODY_S, MAX_BODY_BYTES, Bodies
from services.chassis.connections import CuttableHttp, CuttableWebSockets
from services.chassis.errors import Bug, Unavailable
from services.chassis.problems import Problem, Render, as_problem_json, encode, install_handlers

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from fastapi import FastAPI
    from starlette.types import ASGIApp

__all__ = ["Problem", "Tls", "as_problem_json", "encode", "install_problems", "serve"]

MAX_CONNECTIONS = 1024
# Longer than our own clients keep an idle connection, so that it is never the server who hangs up
# on a request that is already on its way.
KEEP_ALIVE_S = 120
_BACKLOG = 512
WEBSOCKET_BYTES = 16 * 1024  # what a client may send at once: it has little to say


@dataclass(frozen=True, slots=True)
class Tls:
    """Files that prove us to callers, and with `ca` callers to us."""

    cert: str
    key: str
    ca: str | None = None


def install_problems(
    app: FastAPI,
    *,
    render: Render = as_problem_json,
    max_body_bytes: int = MAX_BODY_BYTES,
    body_s: float = BODY_S,
    media_types: tuple[str, ...] = ("application/json",),
    more_types: Mapping[str, tuple[str, ...]] | None = None,
) -> None:
    """Answer every error as a problem, and bodies that cannot be read before they are parsed.

    more_types: what else a body may be, by path.
    """
    install_handlers(app, render)
    app.add_middleware(
        Bodies,
        render,
        max_bytes=max_body_bytes,
        patience_s=body_s,
        media_types=media_types,
        more_types=more_types,
    )


async def serve(
    app: ASGIApp,
    host: str,
    port: int,
    stop: asyncio.Event,
    *,
    tls: Tls | None = None,
    websockets: bool = False,
) -> None:
    """Serve until `stop` is set; open requests get a second to end.

    Raises Unavailable when the address cannot be listened on.
    """
    with closing(_listen(host, port)) as listener:
        server = _Server(_config(app, tls, websockets=websockets))
        watching = asyncio.create_task(_end(server, stop))
        try:
            await server.serve(sockets=[listener])
        except SystemExit as error:
            raise Bug("the HTTP application did not start") from error
        except asyncio.CancelledError:
            if server.started:
                await server.shutdown(sockets=[listener])
            raise
        finally:
            watching.cancel()


class _Server(uvicorn.Server):
    """uvicorn without its hands on the process's signals."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


async def _end(server: uvicorn.Server, stop: asyncio.Event) -> None:
    await stop.wait()
    server.should_exit = True


def _config(app: ASGIApp, tls: Tls | None, *, websockets: bool) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        http=CuttableHttp,
        ws=CuttableWebSockets if websockets else "none",
        ws_max_size=WEBSOCKET_BYTES,
        loop="none",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        limit_concurrency=MAX_CONNECTIONS,
        timeout_keep_alive=KEEP_ALIVE_S,
        timeout_graceful_shutdown=1,
        ssl_certfile=tls.cert if tls else None,
        ssl_keyfile=tls.key if tls else None,
        ssl_ca_certs=tls.ca if tls else None,
        ssl_cert_reqs=ssl.CERT_REQUIRED if tls and tls.ca else ssl.CERT_NONE,
    )


def _listen(host: str, port: int) -> socket.socket:
    try:
        family, *_, address = socket.getaddrinfo(
            host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        return socket.create_server((str(address[0]), port), family=family, backlog=_BACKLOG)
    except OSError as error:
        raise Unavailable(f"cannot listen on {host}:{port}: {error}") from error
