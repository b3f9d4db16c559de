"""Cry out when the log falls silent, for then no alert can be recorded."""

from __future__ import annotations

import asyncio

import structlog

from contracts.events.alert import MessageType
from services.alerter.decide import Cry
from services.alerter.handlers.ports import Door, Heard, Pace, Secrets
from services.alerter.state import State
from services.chassis.clock import Clock
from services.chassis.errors import Refused, Unavailable

log = structlog.get_logger(__name__)


class Watchman:
    """Cries out by itself when the log falls silent, for then nothing can be recorded.

    Only the process that led last does so, and only to webhooks whose secret it knows already.
    """

    def __init__(
        self,
        state: State,
        holder: str,
        heard: Heard,
        door: Door,
        secrets: Secrets,
        clock: Clock,
        pace: Pace | None = None,
    ) -> None:
        self._state, self._holder, self._heard = state, holder, heard
        self._door, self._secrets, self._clock = door, secrets, clock
        self._pace = pace or Pace()

    async def watch(self, silence_s: float, look_s: float = 1.0) -> None:
        """Watch for ever; cry once at each silence, and once when it is over.

        An Alertmanager, which forgets, is told again and again while it lasts.
        """
        heard_at = self._clock.monotonic()
        silences, cry, cried_at = 0, None, 0.0
        while True:
            await self._clock.sleep(look_s)
            now_s = self._clock.monotonic()
            if self._heard.live:
                heard_at = now_s
                if cry is not None:
                    await self._cry(cry, "alert.resolved")
                    cry = None
                await self._learn_secrets()
            elif now_s - heard_at >= silence_s and cry is None:
                silences, cried_at = silences + 1, now_s
                cry = Cry(self._holder, silences, self._clock.now())
                log.critical("the log is silent", silent_s=round(now_s - heard_at))
                await self._cry(cry, "alert.raised")
            elif cry is not None and now_s - cried_at >= self._pace.remind_s:
                cried_at = now_s
                await self._cry(cry, "alert.raised", only_forgetful=True)

    async def _learn_secrets(self) -> None:
        """Ask for what a cry would be signed with, while the vault still answers."""
        for webhook in list(self._state.webhooks.values()):
            if webhook.secret and self._secrets.remembered(webhook.secret) is None:
                try:
                    await self._secrets(webhook.secret)
                except (Refused, Unavailable) as error:
                    log.debug("secret not known", because=error.detail)

    async def _cry(self, cry: Cry, type_: MessageType, *, only_forgetful: bool = False) -> None:
        if self._state.leader != self._holder:
            return
        now, believed_s = self._clock.now(), self._pace.believed_s
        async with asyncio.TaskGroup() as tasks:
            for webhook in list(self._state.webhooks.values()):
                if only_forgetful and webhook.kind != "alertmanager":
                    continue
                secret = self._secrets.remembered(webhook.secret) if webhook.secret else None
                if secret is not None or webhook.secret is None:
                    letter = cry.letter(webhook, type_, now, believed_s)
                    tasks.create_task(self._door.post(letter, secret))
