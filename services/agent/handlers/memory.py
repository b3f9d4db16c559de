"""The state with its durable copy, and those who wait for it to change."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import datetime

from contracts.types import InstanceId, InstanceState
from services.agent.handlers.outside import Store
from services.agent.state import State
from services.chassis.clock import Clock
from services.chassis.errors import Unavailable
from services.chassis.health import Health

RETRY_S = 1.0


class Memory:
    """What the agent knows; `commit` returns once it would survive a crash."""

    def __init__(self, state: State, store: Store, clock: Clock, health: Health) -> None:
        self.state, self.contact_at = state, clock.now()
        self._store, self._clock, self.health = store, clock, health
        self._contact = clock.monotonic()
        self._saving = asyncio.Lock()
        self._changed = asyncio.Event()
        self.is_kept = True

    def touch(self, at: datetime | None = None) -> None:
        """Note that control spoke to us, now or at an earlier moment."""
        now = self._clock.now()
        self.contact_at = now if at is None else min(at, now)
        self._contact = self._clock.monotonic() - (now - self.contact_at).total_seconds()

    def silent_s(self) -> float:
        """Return how long control has not spoken to us."""
        return self._clock.monotonic() - self._contact

    async def move(self, instance_id: InstanceId, to: InstanceState, **facts: object) -> None:
        """Take a worker to another state, kept before anybody is told.

        Who was told "ready" must not hear "starting" from the agent's next run. Only a disk that
        fails makes it told first; where the worker went elsewhere meanwhile, nothing is told.
        """
        before, kept = self.state.instances[instance_id].state, True
        async with self._saving:
            if self.state.instances[instance_id].state != before:
                return
            foreseen = self.state.foresee(self.contact_at, instance_id, to, **facts)
            try:
                await asyncio.to_thread(self._store.save, foreseen)
            except Unavailable:
                kept = False
            if self.state.instances[instance_id].state == before:
                self.state.move(instance_id, to, **facts)
        if kept:
            self._wake()
        else:
            await self.commit_surely()

    def _wake(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()

    async def commit(self) -> None:
        """Wake those who wait, and keep the state; Unavailable when it cannot be kept."""
        self._wake()
        self.is_kept = False
        async with self._saving:
            kept = self.state.keep(self.contact_at)
            await asyncio.to_thread(self._store.save, kept)
        self.is_kept = True
        self.health.report("state", True)

    async def try_commit(self) -> bool:
        """Keep the state if that is possible, and say so where it is not."""
        try:
            await self.commit()
        except Unavailable as error:
            self.health.report("state", False, error.detail)
        return self.is_kept

    async def commit_surely(self) -> None:
        """Keep the state, however often it takes: what happened to a worker has happened."""
        while not await self.try_commit():
            await self._clock.sleep(RETRY_S)

    async def until(self, done: Callable[[], bool], timeout_s: float) -> bool:
        """Return whether `done` came true in time; asked again after every change."""
        try:
            async with asyncio.timeout(timeout_s):
                while not done():
                    await self._changed.wait()
        except TimeoutError:
            return done()
        return True
