"""A real metrics store for tests, where one is found: QM_VICTORIA_METRICS, or on the PATH."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import socket
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import httpx2

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator, Sequence

BINARY = os.environ.get("QM_VICTORIA_METRICS") or shutil.which("victoria-metrics")
BOARDS = Path(__file__).parents[1] / "deploy" / "grafana" / "dashboards"
WINDOW = "1m"  # what Grafana would put for $__rate_interval
DEADLINE_S = 20.0


def panel_queries() -> Iterator[tuple[str, str, str]]:
    """Yield dashboard, panel and query of all that is asked."""
    for path in sorted(BOARDS.glob("*.json")):
        for panel in _panels(json.loads(path.read_text())["panels"]):
            for target in panel["targets"]:
                yield path.stem, panel["title"], target["expr"]


def _panels(panels: Sequence[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    for panel in panels:
        if panel["type"] == "row":
            yield from _panels(panel.get("panels", []))
        else:
            yield panel


@dataclass(frozen=True)
class Store:
    http: httpx2.AsyncClient

    async def take(self, bodies: Sequence[bytes]) -> None:
        headers = {"content-type": "application/x-protobuf"}
        for body in bodies:
            answer = await self.http.post(
                "/opentelemetry/v1/metrics", content=body, headers=headers
            )
            assert answer.is_success, answer.text
        await self.http.get("/internal/force_flush")

    async def ask(self, expression: str) -> list[Any]:
        query = {"query": expression.replace("$__rate_interval", WINDOW)}
        answer = await self.http.get("/prometheus/api/v1/query", params=query)
        assert answer.json()["status"] == "success", (expression, answer.text)
        return list(answer.json()["data"]["result"])


@asynccontextmanager
async def a_store(binary: str) -> AsyncIterator[Store]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with TemporaryDirectory() as state:
        running = await asyncio.create_subprocess_exec(
            binary,
            f"-storageDataPath={state}",
            f"-httpListenAddr=127.0.0.1:{port}",
            "-opentelemetry.usePrometheusNaming",
            "-search.latencyOffset=0s",
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
        )
        base = f"http://127.0.0.1:{port}"
        try:
            async with httpx2.AsyncClient(base_url=base, trust_env=False) as http:
                await _ready(http)
                yield Store(http)
        finally:
            running.terminate()
            await running.wait()


async def _ready(http: httpx2.AsyncClient) -> None:
    async with asyncio.timeout(DEADLINE_S):
        while True:
            try:
                if (await http.get("/health")).is_success:
                    return
            except httpx2.HTTPError:
                await asyncio.sleep(0.05)
