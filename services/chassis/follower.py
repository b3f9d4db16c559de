"""Follow the log: every recorded event of some types, in order, once, whatever the broker loses."""

from __future__ import annotations

import asyncio
from contextlib import aclosing, asynccontextmanager, suppress
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import orjson
import structlog

from services.chassis import wire
from services.chassis.errors import Bug, Refused, Unavailable
from services.chassis.strangers import Strangers
from services.chassis.supervision import begun

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence

    from contracts.envelope import Recorded
    from services.chassis.clock import Clock
    from services.chassis.ports import Bus, Delivery, Inbox

    Batches = AsyncGenerator[Sequence[Recorded], None]

log = structlog.get_logger(__name__)

SILENCE_S = 7.0  # three beacons missed: the queue or the journal is gone
RETRY_S = 0.3
PAGE_TIMEOUT_S = 10.0
MAX_BATCH_RUNS = 64


class Follower:
    """Yields recorded events; a hole is filled from history, what was seen already is dropped.

    types: what to yield; runs without any of them are passed over undecoded. What the journal did
    not sign is dropped.
    telemetry_window_s: how far back telemetry is wanted at a start (s); None for all there is.
    anchor: the last position through which all was yielded and whose event is known, and its id.
    """

    def __init__(
        self,
        bus: Bus,
        service: str,
        types: frozenset[str],
        clock: Clock,
        *,
        telemetry_window_s: float | None = None,
    ) -> None:
        self._bus, self._service, self._clock = bus, service, clock
        self._types = types
        self._window_s = telemetry_window_s
        self._strangers = Strangers(service)
        self.on_moved: Callable[[], None] = lambda: None
        self.position = 0
        self.head = 0
        self.moment: datetime | None = None
        self.live = False
        self.anchor = (0, "")
        self._has_begun = False
        self._since: datetime | None = None

    @property
    def dropped(self) -> int:
        """How many runs and beacons came that the journal did not sign."""
        return self._strangers.dropped.total()

    @property
    def caught_up(self) -> bool:
        """Whether everything known to be recorded has been yielded and folded."""
        return self.live and self.position >= self.head

    @property
    def types(self) -> frozenset[str]:
        """What is yielded."""
        return self._types

    @property
    def telemetry_since(self) -> datetime | None:
        """The moment from which on telemetry is yielded; None for all of it.

        It is chosen once, when the log is first read: there is never a hole behind it.
        """
        if not self._has_begun:
            self._has_begun = True
            if self._window_s is not None:
                self._since = self._clock.now() - timedelta(seconds=self._window_s)
        return self._since

    def begin_at(self, position: int, event_id: str, telemetry_since: datetime | None) -> None:
        """Go on behind `position`: through there, and with telemetry since then, all is folded."""
        self.position = self.head = position
        self.anchor = (position, event_id)
        self._has_begun, self._since = True, telemetry_since

    async def batches(self) -> Batches:
        """Yield batches for ever; asking for the next one says that the last one was folded."""
        while True:
            inbox: Inbox | None = None
            try:
                # Bind first, then catch up: what is recorded meanwhile waits in the queue.
                inbox = await self._bus.follow(self._service)
                async with aclosing(self._catch_up()) as history:
                    async for batch in history:
                        yield batch
                self._go_live()
                async with aclosing(self._live(inbox)) as news:
                    async for batch in news:
                        yield batch
            except Unavailable as error:
                self.live = False
                log.info("following again", service=self._service, because=error.detail)
                await self._clock.sleep(RETRY_S)
            finally:
                if inbox is not None:
                    with suppress(Unavailable):
                        await inbox.close()

    async def through(self, position: int) -> Batches:
        """Yield history from where it stands up to a recorded position, and no further."""
        if self.position < position:
            async with aclosing(self._catch_up(position, position)) as pages:
                async for page in pages:
                    yield page

    async def history(
        self, types: frozenset[str] | None, after: int, until: int | None = None
    ) -> tuple[int, list[Recorded], bool]:
        """Return one page: the position it reaches through, its events, and whether it is the last.

        until: it goes no further. Raises Unavailable, Bug where the log ends before what it told.
        """
        through, _, events, last = await self._page(types, after, until)
        return through, events, last

    async def _page(
        self, types: frozenset[str] | None, after: int, until: int | None = None
    ) -> tuple[int, str | None, list[Recorded], bool]:
        question = orjson.dumps(
            {
                "op": "history",
                "types": None if types is None else sorted(types),
                "after": after,
                "until": until,
                "telemetry_since": self.telemetry_since,
            }
        )
        stood = self.position  # now: meanwhile it may go on to what is newer than the answer
        try:
            headers, body = await self._bus.ask(
                wire.EXCHANGE_JOURNAL, wire.QUEUE_JOURNAL, question, timeout_s=PAGE_TIMEOUT_S
            )
        except Refused as error:  # nobody has declared its queue yet
            raise Unavailable(error.detail) from error
        if "error" in headers:
            raise Bug(f"history: {headers['error']}")
        through, head = int(headers["through"]), int(headers["head"])
        if head < stood:
            raise Bug(
                f"the database was put back: its log ends at {head}, {stood} was folded already;"
                " started again, a service begins with what is there"
            )
        self.head = max(self.head, head)
        self._see(headers.get("now"))
        return through, headers.get("id"), list(wire.decode_run(body)), through >= head

    def _go_live(self) -> None:
        self.live = True
        # Whatever our own clock said, from here on nothing is too old.
        if self._since is not None and self.moment is not None:
            self._since = min(self._since, self.moment)
        self.on_moved()

    async def _catch_up(self, enough: int | None = None, until: int | None = None) -> Batches:
        """Yield pages of history to the head, asking for the next one while one is folded.

        enough: it is over with the page that reaches there. until: no page goes further.
        """
        page = asyncio.create_task(self._page(self._types, self.position, until))
        try:
            while True:
                through, event_id, events, last = await page
                done = last or (enough is not None and through >= enough)
                if not done:
                    page = asyncio.create_task(self._page(self._types, through, until))
                if events:
                    yield events
                self._move(through, event_id)
                if done:
                    return
        finally:
            page.cancel()

    async def _live(self, inbox: Inbox) -> Batches:
        while True:
            delivery = await self._next(inbox)
            async with aclosing(self._take(inbox, delivery)) as batches:
                async for batch in batches:
                    yield batch

    async def _next(self, inbox: Inbox) -> Delivery:
        """Return the journal's next word; what others say does not break its silence."""
        until = self._clock.monotonic() + SILENCE_S
        while True:
            delivery = await inbox.next(max(0.0, until - self._clock.monotonic()))
            if delivery is None:
                raise Unavailable("no run and no beacon came")
            if self._strangers.believes(delivery):
                return delivery

    async def _take(self, inbox: Inbox, first: Delivery) -> Batches:
        """Yield what one delivery, and those that came right behind it, bring."""
        batch: list[Recorded] = []
        reached, event_id = self.position, None
        for delivery in await self._all_ready(inbox, first):
            start, end = self._span(delivery)
            if end > reached and start > reached + 1:
                if batch:
                    yield batch
                    batch = []
                self._move(reached, event_id)
                async with aclosing(self._catch_up(end)) as pages:
                    async for page in pages:
                        yield page
                reached, event_id = self.position, None
            elif end > reached:
                batch += self._events(delivery, reached)
                reached, event_id = end, delivery.headers.get("id")
        if batch:
            yield batch
        self._move(reached, event_id)

    async def _all_ready(self, inbox: Inbox, first: Delivery) -> list[Delivery]:
        deliveries = [first]
        while inbox.ready() and len(deliveries) < MAX_BATCH_RUNS:
            more = await inbox.next(0)
            if more is not None and self._strangers.believes(more):
                deliveries.append(more)
        return deliveries

    def _events(self, delivery: Delivery, reached: int) -> list[Recorded]:
        """Return what a run holds for us; without any of our types it is not even decoded."""
        if self._types.isdisjoint(delivery.headers["types"]):
            return []
        events = wire.decode_run(delivery.body, self._types)
        return [event for event in events if event.position > reached]

    def _move(self, position: int, event_id: str | None) -> None:
        if event_id is not None:
            self.anchor = (position, event_id)
        if position > self.position:
            self.position = position
            self.on_moved()

    def _span(self, delivery: Delivery) -> tuple[int, int]:
        """Return the first and last position of a run; a beacon is an empty run behind its head."""
        self._see(delivery.headers.get("now"))
        if delivery.routing_key == wire.BEACON:
            head = int(delivery.headers["head"])
            self.head = max(self.head, head)
            return head + 1, head
        start, end = int(delivery.headers["from"]), int(delivery.headers["to"])
        self.head = max(self.head, end)
        return start, end

    def _see(self, moment: str | None) -> None:
        if moment is not None:
            seen = datetime.fromisoformat(moment)
            self.moment = seen if self.moment is None else max(self.moment, seen)


@asynccontextmanager
async def ahead(batches: Batches) -> AsyncIterator[Batches]:
    """Begin to get the first of some batches at once, before anybody asks for it."""
    async with aclosing(batches), begun(_next_of(batches)) as first:
        yield _from(first, batches)


async def _next_of(batches: Batches) -> Sequence[Recorded] | None:
    return await anext(batches, None)


async def _from(first: asyncio.Task[Sequence[Recorded] | None], rest: Batches) -> Batches:
    batch = await first
    if batch is not None:
        yield batch
    async for batch in rest:
        yield batch
