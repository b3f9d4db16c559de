"""What is recorded, as it is recorded: one follower, the newest events, any number of readers.

Readers have no queue: each has a position, and reads on behind it from the events that all share.
So nothing grows with a slow reader, and one that falls behind what is kept is let go.
"""

from __future__ import annotations

import asyncio
from bisect import bisect_right
from contextlib import aclosing, suppress
from operator import attrgetter
from typing import TYPE_CHECKING

import structlog

from services.chassis.errors import Conflict, Unavailable
from services.gateway.decide.following import Chunk, EndedError, FellBehindError, Frame
from services.gateway.handlers.frames import frame

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from contracts.envelope import Recorded
    from services.chassis.clock import Clock
    from services.chassis.follower import Follower
    from services.gateway.decide.pacing import Limits
    from services.gateway.decide.wanted import Wanted

log = structlog.get_logger(__name__)

CHUNK_EVENTS, CHUNK_BYTES = 1000, 256 * 1024
SLICE = 1000
KEPT_BYTES = 32 * 1024 * 1024
PAGES_AT_ONCE = 2
BEGIN_S, REACH_S, RETRY_S = 5.0, 5.0, 0.5
_NO_TYPE = frozenset({"-"})
_POSITION = attrgetter("position")


class Feed:
    """Follows the whole log from near its end on, and keeps the newest events for its readers."""

    def __init__(self, follower: Follower, clock: Clock, limits: Limits) -> None:
        self._follower, self._clock, self._limits = follower, clock, limits
        self._frames: list[Frame] = []
        self._bytes = 0
        self._chunks: dict[tuple[Wanted, int], Chunk] = {}
        self._moved = asyncio.Event()
        self._begun, self._ended = asyncio.Event(), asyncio.Event()
        self._pages = asyncio.Semaphore(PAGES_AT_ONCE)
        self.has_ended = False
        self.floor = 0
        self.position = 0
        follower.on_moved = self._go_on

    async def run(self) -> None:
        """Follow for ever; when it ends, its readers end with it."""
        try:
            await self._begin()
            async with aclosing(self._follower.batches()) as batches:
                async for batch in batches:
                    for start in range(0, len(batch), SLICE):
                        await self._keep(batch[start : start + SLICE])
        finally:
            self.end()

    def end(self) -> None:
        """Let every reader end."""
        self.has_ended = True
        self._begun.set()
        self._ended.set()
        self._moved.set()

    async def ended(self) -> None:
        """Return when it has ended."""
        await self._ended.wait()

    async def started(self) -> None:
        """Return once the log's end is known; raises Unavailable after a while."""
        try:
            async with asyncio.timeout(BEGIN_S):
                await self._begun.wait()
        except TimeoutError as error:
            raise Unavailable("the log's end is not known yet") from error

    async def reach(self, after: int) -> None:
        """Return once `after` is behind us.

        Raises Conflict for a position that the log does not have: it was restored to an earlier
        point, or never was so long.
        """
        await self.started()
        try:
            async with asyncio.timeout(REACH_S):
                await self._news(after - 1)
        except TimeoutError as error:
            sentence = f"the log ends at {self.position}, before position {after}"
            raise Conflict(sentence, field="after", position=self.position) from error

    async def read(self, wanted: Wanted, after: int) -> AsyncIterator[Chunk]:
        """Yield what is wanted behind `after`, for ever: first what was, then what comes.

        A chunk without events says how far one has read; there is one in every silence.
        Raises FellBehindError, EndedError, Unavailable.
        """
        async for chunk in self._past(wanted, after):
            after = chunk.through
            yield chunk
        heard_at = self._clock.monotonic()
        while not self.has_ended:
            if after < self.floor:
                raise FellBehindError
            chunk = self._ready(wanted, after)
            after = chunk.through
            silence_s = self._clock.monotonic() - heard_at
            if chunk.frames or silence_s >= self._limits.heartbeat_s:
                yield chunk
                heard_at = self._clock.monotonic()
            else:
                await self.news(after, self._limits.heartbeat_s - silence_s)
        raise EndedError

    async def news(self, after: int, timeout_s: float) -> None:
        """Return once anything is behind `after`, or after a while."""
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                await self._news(after)

    def nodes_in(self, wanted: Wanted, after: int) -> tuple[int, frozenset[str]]:
        """Return the newest position, and the nodes that wanted events behind `after` tell of."""
        start = bisect_right(self._frames, after, key=_POSITION)
        new = self._frames[start:]
        nodes = {each.node_id for each in new if each.node_id and wanted.takes(each)}
        return max(after, self.position), frozenset(nodes)

    async def _news(self, after: int) -> None:
        while self.position <= after and not self.has_ended:
            await self._moved.wait()

    async def _begin(self) -> None:
        """Begin a little before the log's end: who was here a moment ago finds all of it kept."""
        while True:
            try:
                await self._follower.history(_NO_TYPE, 0)
                break
            except Unavailable as error:
                log.info("the log's end is asked for again", because=error.detail)
                await self._clock.sleep(RETRY_S)
        self.floor = max(0, self._follower.head - self._limits.kept_events // 2)
        self._follower.begin_at(self.floor, "", None)
        self.position = self.floor

    async def _keep(self, events: Sequence[Recorded]) -> None:
        """Keep events and give readers a turn: however many come at once, none falls behind."""
        new = [frame(event) for event in events]
        self._frames += new
        self._bytes += sum(each.size for each in new)
        self._forget()
        self._wake(new[-1].position)
        await asyncio.sleep(0)

    def _forget(self) -> None:
        """Drop the oldest; in large steps, for a list moves all the rest each time."""
        kept, frames = self._limits.kept_events, self._frames
        if len(frames) <= kept * 1.25 and self._bytes <= KEPT_BYTES:
            return
        count = max(0, len(frames) - kept)
        bytes_ = self._bytes - sum(each.size for each in frames[:count])
        while bytes_ > KEPT_BYTES * 0.8 and count < len(frames) - 1:
            bytes_ -= frames[count].size
            count += 1
        if count:
            self.floor = frames[count - 1].position
            del frames[:count]
            self._bytes = bytes_

    def _go_on(self) -> None:
        """Everything recorded through the follower's position is kept, or nobody's concern."""
        self._wake(self._follower.position)
        if self._follower.live:
            self._begun.set()

    def _wake(self, position: int) -> None:
        self.position = max(self.position, position)
        self._chunks.clear()
        moved, self._moved = self._moved, asyncio.Event()
        moved.set()

    def _ready(self, wanted: Wanted, after: int) -> Chunk:
        """Return what is kept behind `after`; readers of the same share it, made once."""
        chunk = self._chunks.get((wanted, after))
        if chunk is None:
            chunk = self._chunks[wanted, after] = self._chunk(wanted, after)
        return chunk

    def _chunk(self, wanted: Wanted, after: int) -> Chunk:
        taken: list[Frame] = []
        size = 0
        start = bisect_right(self._frames, after, key=_POSITION)
        for place in range(start, len(self._frames)):
            each = self._frames[place]
            if wanted.takes(each):
                taken.append(each)
                size += each.size
                if len(taken) == CHUNK_EVENTS or size > CHUNK_BYTES:
                    return _chunk_of(wanted, taken, each.position)
        return _chunk_of(wanted, taken, max(after, self.position))

    async def _past(self, wanted: Wanted, after: int) -> AsyncIterator[Chunk]:
        """Yield pages of history until the rest is kept here."""
        while after < self.floor and not self.has_ended:
            async with self._pages:  # so many at once, however many come back after an outage
                through, events, last = await self._follower.history(wanted.types, after)
            frames = [frame(event) for event in events if wanted.takes(event)]
            after = through
            yield _chunk_of(wanted, frames, through)
            if last:
                return


def _chunk_of(wanted: Wanted, frames: list[Frame], through: int) -> Chunk:
    sse = b"".join(each.shown(logs=wanted.logs) for each in frames)
    return Chunk(tuple(frames), through, sse)
