"""The board of GPU states: what is read of several nodes at once is one truth, whoever is slow."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import Any

import orjson

from services.chassis.clock import SystemClock
from services.chassis.errors import Unavailable
from services.gateway.handlers import board as module
from services.gateway.handlers.board import Board
from tests.in_memory import ended, until


class Feed:
    """Tells of nodes where something happened, when a test says so."""

    def __init__(self) -> None:
        self.position, self.floor, self.has_ended = 1, 0, False
        self.nodes: frozenset[str] = frozenset()

    async def started(self) -> None:
        pass

    async def ended(self) -> None:
        await asyncio.Event().wait()

    async def news(self, after: int, timeout_s: float) -> None:
        while not self.nodes:
            await asyncio.sleep(0)

    def nodes_in(self, wanted: Any, after: int) -> tuple[int, frozenset[str]]:
        nodes, self.nodes = self.nodes, frozenset()
        return after + 1, nodes


class Reads:
    """GPUs by their node; the reads of a node wait for its gate."""

    def __init__(self, **nodes: str) -> None:
        self.nodes, self.gates = nodes, {}
        self.is_up, self.left = True, list[str]()

    async def get(self, path: str, parameters: Any, etag: str | None) -> Any:
        node = dict(parameters).get("node_id")
        try:
            await self.gates.get(node, _open()).wait()
        except asyncio.CancelledError:
            self.left.append(node)
            raise
        if node is not None and not self.is_up:
            raise Unavailable("away")
        found = [{"uuid": u, "node_id": n} for u, n in self.nodes.items() if node in {None, n}]
        return SimpleNamespace(body=orjson.dumps({"items": found}), position=1)


def _open() -> asyncio.Event:
    gate = asyncio.Event()
    gate.set()
    return gate


@asynccontextmanager
async def watched(reads: Reads):
    feed = Feed()
    board = Board(feed, reads, SystemClock())
    running = asyncio.create_task(board.run())
    board.watch()
    await board.ready()
    yield board, feed
    board.leave()
    await ended(running)


def shown(board: Board) -> dict[str, str]:
    return {each["uuid"]: each["node_id"] for each in orjson.loads(board.since(0))["gpus"]}


async def test_a_gpu_that_moved_is_on_its_new_node_though_the_old_ones_read_comes_later():
    reads = Reads(x="n-a", y="n-a")
    async with watched(reads) as (board, feed):
        change, reads.nodes = board.change, {"x": "n-b"}
        reads.gates["n-a"] = asyncio.Event()
        feed.nodes = frozenset({"n-a", "n-b"})
        await until(lambda: shown(board) == {"x": "n-b", "y": "n-a"}, "the new node was read")
        reads.gates["n-a"].set()
        await until(lambda: shown(board) == {"x": "n-b"}, "the old node was read")
        told = orjson.loads(board.since(change))
        assert (told["removed"], [each["uuid"] for each in told["gpus"]]) == (["y"], ["x"])


async def test_a_read_that_fails_ends_the_others_before_all_is_read_again(monkeypatch):
    monkeypatch.setattr(module, "RETRY_S", 0.01)
    reads = Reads(x="n-a")
    async with watched(reads) as (board, feed):
        reads.gates["n-b"], reads.is_up = asyncio.Event(), False
        feed.nodes = frozenset({"n-a", "n-b"})
        await until(lambda: reads.left == ["n-b"], "nobody waits for the other node any more")
        reads.is_up, reads.nodes = True, {"z": "n-b"}
        await until(lambda: shown(board) == {"z": "n-b"}, "all was read again")
