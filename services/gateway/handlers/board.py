"""Every GPU's state as it is now, read again where the log says that something changed.

One reader for all who watch: what a node's GPUs are is read from the read model once for each burst
of its events, and only while anybody watches. Watchers have no queue: each is told what changed
since it was last told, so a slow one is told less often and never of more than there are GPUs.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Protocol

import orjson
import structlog

from services.chassis.errors import NotFound, QuartermasterError, Refused, Unavailable
from services.chassis.supervision import Together
from services.gateway.decide.wanted import Wanted

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from services.chassis.clock import Clock
    from services.gateway.handlers.streaming import Feed

log = structlog.get_logger(__name__)

PAGE = 200
COALESCE_S, RETRY_S, READY_S = 0.2, 1.0, 10.0
TOO_MANY_NODES = 50  # so many at once: reading all of them again is less work
ABOUT_GPUS = Wanted(
    frozenset(
        {
            "gpu.allocated",
            "gpu.freed",
            "gpu.quarantined",
            "gpu.released",
            "node.registered",
            "node.updated",
            "node.deleted",
            "node.reported",
            "node.inventory_changed",
            "node.went_offline",
            "node.came_online",
        }
    )
)


class Answer(Protocol):
    """An answer of the query service."""

    @property
    def body(self) -> bytes:
        """JSON."""

    @property
    def position(self) -> int | None:
        """The position it holds for."""


class GpuReads(Protocol):
    """Where GPUs are read."""

    async def get(
        self, path: str, parameters: Sequence[tuple[str, str]], etag: str | None
    ) -> Answer:
        """Return the answer to a read."""


class Board:
    """GPUs by their UUID, each with the number of the change that last touched it."""

    def __init__(self, feed: Feed, reads: GpuReads, clock: Clock) -> None:
        self._feed, self._reads, self._clock = feed, reads, clock
        self._gpus: dict[str, dict[str, Any]] = {}
        self._changed_in: dict[str, int] = {}
        self._removed_in: dict[str, int] = {}
        self._told: dict[int, bytes] = {}
        self._watchers = 0
        self._is_fresh = False
        self._keeping: asyncio.Task[None] | None = None
        self._somebody = asyncio.Event()
        self._moved = asyncio.Event()
        self.change = 0
        self.position = 0

    async def run(self) -> None:
        """Keep the board as long as anybody watches, until the feed ends; its watchers end then."""
        ending = asyncio.create_task(self._feed.ended())
        ending.add_done_callback(lambda _: self._wake())
        try:
            await self._keep_on()
        finally:
            ending.cancel()

    async def _keep_on(self) -> None:
        while not self._feed.has_ended:
            await self._somebody.wait()
            self._keeping = asyncio.create_task(self._keep_up())
            try:
                await asyncio.wait({self._keeping})
                if not self._keeping.cancelled():
                    self._keeping.result()
            except QuartermasterError as error:
                log.info("GPU states are read again", because=error.detail)
                await self._clock.sleep(RETRY_S)
            finally:
                self._keeping.cancel()

    def watch(self) -> None:
        """Somebody watches from now on."""
        self._watchers += 1
        self._somebody.set()

    def leave(self) -> None:
        """Somebody watches no longer; without anybody, nothing is read and nothing kept."""
        self._watchers -= 1
        if not self._watchers:
            self._somebody.clear()
            self._is_fresh = False
            if self._keeping is not None:
                self._keeping.cancel()
            for kept in (self._gpus, self._changed_in, self._removed_in, self._told):
                kept.clear()

    async def ready(self) -> None:
        """Return once it shows how things are; raises Unavailable after a while."""
        try:
            async with asyncio.timeout(READY_S):
                while not self._is_fresh and not self._feed.has_ended:
                    await self._moved.wait()
        except TimeoutError as error:
            raise Unavailable("GPU states cannot be read now") from error

    async def news(self, change: int, timeout_s: float) -> None:
        """Return once there is a later change than this one, or after a while."""
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                while self.change <= change and not self._feed.has_ended:
                    await self._moved.wait()

    def since(self, change: int) -> bytes:
        """Return what changed since then as a message; since 0, every GPU there is."""
        if change not in self._told:
            self._told[change] = self._message(change)
        return self._told[change]

    def _message(self, change: int) -> bytes:
        gpus = [self._gpus[uuid] for uuid, at in self._changed_in.items() if at > change]
        removed = [uuid for uuid, at in self._removed_in.items() if at > change]
        content = {
            "type": "gpu_update" if change else "gpu_snapshot",
            "position": self.position,
            "timestamp": self._clock.now(),
            "gpus": gpus,
            "removed": removed if change else [],
        }
        return orjson.dumps(content, option=orjson.OPT_UTC_Z)

    async def _keep_up(self) -> None:
        await self._feed.started()
        after = self._feed.position
        await self._read_all(after)
        while not self._feed.has_ended:
            await self._feed.news(after, RETRY_S)
            if after < self._feed.floor:
                return  # more happened than is kept: begin again
            after, nodes = self._feed.nodes_in(ABOUT_GPUS, after)
            if len(nodes) > TOO_MANY_NODES:
                await self._read_all(after)
            elif nodes:
                async with Together() as reading:
                    for node in sorted(nodes):
                        reading.create_task(self._read_node(node, after))
            if nodes:
                await self._clock.sleep(COALESCE_S)

    async def _read_all(self, position: int) -> None:
        found = await self._read(position)
        self._take(found, list(self._gpus))

    async def _read_node(self, node_id: str, position: int) -> None:
        try:
            found = await self._read(position, ("node_id", node_id))
        except (NotFound, Refused):
            found = []
        # As it is known now: meanwhile a GPU may have been found on another node.
        here = [uuid for uuid, gpu in self._gpus.items() if gpu.get("node_id") == node_id]
        self._take(found, here)

    async def _read(self, position: int, *narrow: tuple[str, str]) -> list[dict[str, Any]]:
        """Return GPUs as they are at a position or later, all pages of them."""
        found: list[dict[str, Any]] = []
        cursor = None
        while True:
            parameters = [("limit", str(PAGE)), ("min_position", str(position)), *narrow]
            parameters += [("cursor", cursor)] if cursor else []
            answer = await self._reads.get("/gpus", parameters, None)
            page = orjson.loads(answer.body)
            found += page["items"]
            self.position = max(self.position, answer.position or 0)
            cursor = page.get("next_cursor")
            if not cursor:
                return found

    def _take(self, found: list[dict[str, Any]], before: Iterable[str]) -> None:
        """Note what is new or other than it was, and what is gone of those before."""
        fresh = {str(gpu["uuid"]): gpu for gpu in found}
        changed = [uuid for uuid, gpu in fresh.items() if self._gpus.get(uuid) != gpu]
        gone = [uuid for uuid in before if uuid not in fresh]
        if not changed and not gone and self._is_fresh:
            return
        self.change += 1
        self._is_fresh = True
        for uuid in changed:
            self._gpus[uuid] = fresh[uuid]
            self._changed_in[uuid] = self.change
            self._removed_in.pop(uuid, None)
        for uuid in gone:
            self._gpus.pop(uuid, None)
            self._changed_in.pop(uuid, None)
            self._removed_in[uuid] = self.change
        self._told.clear()
        self._wake()

    def _wake(self) -> None:
        """Let everybody look again."""
        moved, self._moved = self._moved, asyncio.Event()
        moved.set()
        if self._feed.has_ended:
            self._somebody.set()
