"""Keep a folded state: thaw it at a start, freeze it now and then, without holding up its fold."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, TypeVar

import structlog
from opentelemetry import metrics

from contracts.catalogue import TELEMETRY_TYPES
from services.chassis.errors import Refused, Unavailable
from services.chassis.frozen import Freezer, in_slices, pack, unpack
from services.chassis.ids import uuid7
from services.chassis.snapshots import MOST_KEPT, Manifest, Shelf

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence
    from datetime import datetime

    from contracts.envelope import Recorded
    from services.chassis.clock import Clock
    from services.chassis.follower import Follower
    from services.chassis.ports import Bus
    from services.chassis.snapshots import Found

log = structlog.get_logger(__name__)
HELD_MS = metrics.get_meter("quartermaster.snapshots").create_histogram(
    "quartermaster.snapshot.held",
    unit="ms",
    description="How long a fold waited for its state to be frozen.",
)

KEPT = 3
KEPT_OF_THE_PAST = 48  # spread over the log, however large they are
BYTES_PER_EVENT = 400  # of a snapshot, for each event since the last: half of what the log takes
LEAST_S = 10.0  # between two: however much happens, freezing takes a small share of the time
RETRY_S = 0.5
FETCH_ATTEMPTS = 3
CATCHING_UP = 10  # times fewer snapshots while history is read: they make a start longer
QUIET_S = 0.03
PATIENCE_S = 5.0
GIVES_WAY = 3
SLACK_S = 60.0  # two machines' clocks need not agree to the second

S = TypeVar("S")


@dataclass(frozen=True, slots=True)
class Pace:
    """How often a snapshot is taken, and how many are kept; no events at all switch it off.

    room_bytes: as many more are kept as find room in it, packed.
    """

    every_events: int = 500
    every_s: float = 300.0
    kept: int = KEPT
    room_bytes: int = 0

    def kept_of(self, packed_bytes: int) -> int:
        """Return how many are kept of snapshots that are so large."""
        return min(MOST_KEPT, max(self.kept, self.room_bytes // packed_bytes))


class Keeper(Generic[S]):
    """Takes snapshots of one state at moments without work, and gives way when work comes.

    state: the object that is folded into; a restored state is put into it.
    """

    def __init__(
        self, bus: Bus, service: str, state: S, clock: Clock, *, pace: Pace | None = None
    ) -> None:
        self._service, self._state, self._clock = service, state, clock
        self._pace = pace or Pace()
        self._freezer = Freezer(service, state)
        self._shelf = Shelf(bus, self._freezer.fingerprint)
        self._frozen = asyncio.Lock()
        self._waits = False
        self._folded = (0, "")
        self._folded_s = self._kept_s = clock.monotonic()
        self._kept_at = self._new = self._packed_bytes = 0
        self._moved = asyncio.Event()
        # Processes of one service fold the same: they had better not all freeze at once.
        share = int(uuid7()[-4:], 16) / 0x10000
        self._at_least = round(self._pace.every_events * (1 + share / 4))

    @property
    def _every(self) -> int:
        """After how many events one is due: a large state's are rarer, for the room they take."""
        return max(self._at_least, self._packed_bytes // BYTES_PER_EVENT)

    # At a start.

    async def restore(self, follower: Follower) -> datetime | None:
        """Thaw the newest snapshot of use; return the moment it is of, or None without one."""
        if not self._pace.every_events or follower.position:
            return None
        found = await self._found(follower)
        if found is None:
            return None
        for refused in found.refused:
            self._pass_over(refused["position"], refused["because"])
        for manifest in found.manifests:
            if await self._thaw(manifest, follower):
                self._kept_at, self._kept_s = manifest.position, self._clock.monotonic()
                return manifest.recorded_at
        log.info(
            "no snapshot to begin with",
            service=self._service,
            head=found.head,
            of_other_folds=found.of_other_folds,
        )
        return None

    async def _found(self, follower: Follower) -> Found | None:
        while True:
            try:
                return await self._shelf.find(telemetry=folds_telemetry(follower))
            except Unavailable as error:
                log.info("looking for snapshots again", because=error.detail)
                await self._clock.sleep(RETRY_S)
            except Refused as error:
                log.warning("no snapshots", service=self._service, because=error.detail)
                return None

    async def _thaw(self, manifest: Manifest, follower: Follower) -> bool:
        began = self._clock.monotonic()
        if lacks_telemetry(manifest, follower.telemetry_since, follower):
            since = manifest.telemetry_since
            self._pass_over(manifest.position, f"it holds telemetry since {since} only")
            return False
        try:
            packed = await self._fetched(manifest)
            await thaw(self._freezer, manifest, packed, self._state, self._clock)
        except Exception as error:  # noqa: BLE001 (whatever is wrong with it, history is not)
            self._pass_over(manifest.position, f"it is damaged: {error!r}")
            return False
        follower.begin_at(manifest.position, manifest.event_id, manifest.telemetry_since)
        self._packed_bytes = len(packed)
        took_ms = round((self._clock.monotonic() - began) * 1000)
        log.info("snapshot restored", **self._told(manifest, len(packed)), took_ms=took_ms)
        return True

    async def _fetched(self, manifest: Manifest) -> bytes:
        for _ in range(FETCH_ATTEMPTS - 1):
            with suppress(Unavailable):
                return await self._shelf.fetch(manifest)
            await self._clock.sleep(RETRY_S)
        return await self._shelf.fetch(manifest)

    def _pass_over(self, position: int, because: str) -> None:
        log.warning(
            "snapshot passed over", service=self._service, position=position, because=because
        )

    def _told(self, manifest: Manifest, packed_bytes: int) -> dict[str, object]:
        return {
            "service": self._service,
            "position": manifest.position,
            "packed_bytes": packed_bytes,
            "plain_bytes": manifest.plain_bytes,
        }

    # While it is folded.

    @asynccontextmanager
    async def folding(self, batch: Sequence[Recorded]) -> AsyncIterator[None]:
        """Hold the state for a batch; one that is being frozen gives way, or is soon done."""
        self._waits = self._frozen.locked()
        async with self._frozen:
            self._waits = False
            yield
            last = batch[-1]
            self._folded, self._new = (last.position, last.event_id), self._new + len(batch)
        self._folded_s = self._clock.monotonic()
        self._moved.set()

    async def run(self, follower: Follower) -> None:
        """Take snapshots for ever; a cache ends no service, so nothing that fails here does."""
        while self._pace.every_events:
            await self._until_due(follower)
            try:
                await self._take(follower)
            except Unavailable as error:
                log.info("snapshot not kept", service=self._service, because=error.detail)
            except Exception:
                log.exception("no more snapshots are taken", service=self._service)
                return

    async def _until_due(self, follower: Follower) -> None:
        while (left_s := self._due_in_s(follower)) > 0:
            self._moved.clear()
            with suppress(TimeoutError):
                async with asyncio.timeout(left_s):
                    await self._moved.wait()

    def _due_in_s(self, follower: Follower) -> float:
        """Return after how many seconds one is due; 0 when it is."""
        enough = self._every if follower.caught_up else self._every * CATCHING_UP
        if self._new >= enough:
            return max(0.0, self._kept_s + LEAST_S - self._clock.monotonic())
        if not follower.caught_up:
            return self._pace.every_s
        left_s = self._kept_s + self._pace.every_s - self._clock.monotonic()
        if left_s > 0:
            return left_s
        return 0.0 if self._mark(follower)[0] > self._kept_at else self._pace.every_s

    def _mark(self, follower: Follower) -> tuple[int, str]:
        """Return the position the state is of, and the event there."""
        return max(follower.anchor, self._folded)

    async def _take(self, follower: Follower) -> None:
        self._kept_s = self._clock.monotonic()
        if await self._another_did(follower):
            return
        for attempt in range(GIVES_WAY + 1):
            await self._quiet(follower)
            is_polite = follower.caught_up and attempt < GIVES_WAY
            if await self._freeze(follower, is_polite=is_polite):
                return

    async def _another_did(self, follower: Follower) -> bool:
        """Return whether another process of this service has kept what is about as new."""
        found = await self._shelf.find(telemetry=folds_telemetry(follower))
        newest = found.manifests[0].position if found.manifests else 0
        if newest <= self._kept_at or self._mark(follower)[0] - newest > self._every / 2:
            return False
        self._kept_at, self._new = newest, 0
        return True

    async def _quiet(self, follower: Follower) -> None:
        """Return at a moment without work, or when there is none for a while."""
        until_s = self._clock.monotonic() + PATIENCE_S
        while follower.caught_up and (now_s := self._clock.monotonic()) < until_s:
            if now_s - self._folded_s >= QUIET_S:
                return
            await self._clock.sleep(QUIET_S)

    async def _freeze(self, follower: Follower, *, is_polite: bool) -> bool:
        """Freeze, then pack and keep while the fold goes on; False when it gave way to the fold."""
        async with self._frozen:
            began = self._clock.monotonic()
            (position, event_id), since = self._mark(follower), follower.telemetry_since
            lines = await in_slices(
                self._freezer.freeze(self._state),
                self._clock,
                lambda: not (is_polite and self._waits),
            )
            if lines is None:
                return False
            self._new = 0
            held_ms = (self._clock.monotonic() - began) * 1000
        HELD_MS.record(held_ms, {"service": self._service})
        packed, plain_bytes = await asyncio.to_thread(pack, lines)
        said = Manifest("", self._shelf.fingerprint, position, event_id, plain_bytes, (), since)
        await self._shelf.put(said, packed, kept=self._pace.kept_of(len(packed)))
        self._kept_at, self._packed_bytes = position, len(packed)
        self._kept_s = self._clock.monotonic()
        log.info("snapshot kept", **self._told(said, len(packed)), held_ms=round(held_ms, 1))
        return True


async def thaw(
    freezer: Freezer[S], manifest: Manifest, packed: bytes, into: S, clock: Clock
) -> None:
    """Make `into` the state of a snapshot; raises when the bytes are not those of one."""
    lines = await asyncio.to_thread(unpack, packed, manifest.plain_bytes)
    await in_slices(freezer.thaw(lines, into), clock)


def folds_telemetry(follower: Follower) -> bool:
    """Return whether a follower yields any telemetry."""
    return not TELEMETRY_TYPES.isdisjoint(follower.types)


def lacks_telemetry(manifest: Manifest, wanted: datetime | None, follower: Follower) -> bool:
    """Return whether a snapshot's telemetry was read from a later moment on than is wanted."""
    since = manifest.telemetry_since
    if since is None or not folds_telemetry(follower):
        return False
    return wanted is None or (since - wanted).total_seconds() > SLACK_S
