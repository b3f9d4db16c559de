"""Raise and resolve alerts, and carry each to every webhook until it is taken or given up."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import datetime, timedelta

import structlog

from contracts.envelope import Draft
from services.alerter import decide
from services.alerter.decide import Letter, Sent
from services.alerter.handlers.gauge import Gauge
from services.alerter.handlers.ports import Door, Pace, Secrets, Voice
from services.alerter.state import Pending, State, Webhook
from services.chassis.errors import Fenced, QuartermasterError, Refused, Unavailable
from services.chassis.folding import Folding
from services.chassis.health import Health
from services.chassis.leadership import Term
from services.chassis.supervision import Together

log = structlog.get_logger(__name__)


class Post:
    """Carries letters: signed, a few at a time to each webhook, to an Alertmanager one by one.

    For there the last word counts: that an alert is over must not be overtaken by a reminder.
    """

    def __init__(self, door: Door, secrets: Secrets, per_webhook: int) -> None:
        self._door, self._secrets, self._per_webhook = door, secrets, per_webhook
        self._places: dict[str, asyncio.Semaphore] = {}

    def place(self, webhook_id: str, webhook: Webhook) -> asyncio.Semaphore:
        """Return what lets in those who want to post to a webhook."""
        many = 1 if webhook.kind == "alertmanager" else self._per_webhook
        return self._places.setdefault(webhook_id, asyncio.Semaphore(many))

    async def send(self, webhook: Webhook, letter: Letter) -> Sent:
        """Return how a webhook took a letter."""
        try:
            secret = await self._secrets(webhook.secret) if webhook.secret else None
        except (Refused, Unavailable) as error:
            return Sent(error=error.detail)
        return await self._door.post(letter, secret)


class Alerter:
    """Judges and sends while leading; what was sent is in the log, so a successor goes on."""

    def __init__(
        self,
        state: State,
        folding: Folding,
        voice: Voice,
        post: Post,
        gauge: Gauge,
        health: Health,
        pace: Pace,
    ) -> None:
        self._state, self._folding, self._voice = state, folding, voice
        self._post, self._gauge, self._health, self._pace = post, gauge, health, pace
        self._sending: set[tuple[str, str]] = set()
        self._reminded: dict[str, datetime] = {}

    async def act(self, term: Term) -> None:
        """Judge whenever something happened or time has passed, until the term is over."""
        self._sending.clear()
        self._reminded.clear()
        async with Together() as tasks:
            while True:
                await self._judge(term)
                self._send_what_is_due(term, tasks)
                self._remind(tasks)
                await self._folding.changed(timeout_s=self._pace.tick_s)

    async def _judge(self, term: Term) -> None:
        await self._record(decide.alerts(self._gauge.view()), term)

    def _send_what_is_due(self, term: Term, tasks: Together) -> None:
        now = self._folding.now()
        for pending in decide.due(self._state, now, self._pace.retries_s, self._sending):
            self._sending.add(pending.key)
            tasks.create_task(self._send(pending, term))

    async def _send(self, pending: Pending, term: Term) -> None:
        try:
            webhook = self._state.webhooks.get(pending.webhook_id)
            if webhook is None:
                return
            async with self._post.place(pending.webhook_id, webhook):
                if pending.webhook_id not in self._state.webhooks:
                    return  # it was deleted while the message waited for its place
                now = self._folding.now()
                letter = decide.letter(webhook, pending, now, self._pace.believed_s)
                sent = await self._post.send(webhook, letter)
            if sent.ok:
                self._reminded.setdefault(pending.webhook_id, now)
            else:
                log.warning(
                    "alert not delivered",
                    webhook_id=pending.webhook_id,
                    alert_id=pending.alert_id,
                    attempt=pending.failures + 1,
                    because=sent.error or sent.status_code,
                )
            # Folded before it is forgotten here, so that it is never due in between.
            await self._record([decide.settled(pending, sent, self._pace.retries_s)], term)
        finally:
            self._sending.discard(pending.key)

    def _remind(self, tasks: Together) -> None:
        """Tell each Alertmanager again what is open, when that is due."""
        now, wait = self._folding.now(), timedelta(seconds=self._pace.remind_s)
        for webhook_id, webhook in self._state.webhooks.items():
            told_at = self._reminded.get(webhook_id)
            if webhook.kind != "alertmanager" or (told_at and now - told_at < wait):
                continue
            if decide.reminder(self._state, webhook_id, now, self._pace.believed_s):
                self._reminded[webhook_id] = now
                tasks.create_task(self._send_reminder(webhook_id, webhook))

    async def _send_reminder(self, webhook_id: str, webhook: Webhook) -> None:
        """Send what is open by the time that it is our turn; a failure is made good by the next."""
        async with self._post.place(webhook_id, webhook):
            now, believed_s = self._folding.now(), self._pace.believed_s
            letter = decide.reminder(self._state, webhook_id, now, believed_s)
            if letter is None:
                return
            sent = await self._post.send(webhook, letter)
        problem = "" if sent.ok else sent.error or f"status {sent.status_code}"
        self._health.report(f"alertmanager {webhook_id}", not problem, problem)
        if problem:
            log.warning("alertmanager not reminded", webhook_id=webhook_id, because=problem)

    async def _record(self, proposals: Sequence[Sequence[Draft]], term: Term) -> None:
        """Record under the term's lease, and go on only when it is folded."""
        for verdict in await self._voice.propose_all(proposals, lease=term.lease):
            if isinstance(verdict, Fenced | Unavailable):
                raise verdict
            if isinstance(verdict, QuartermasterError):
                self._health.report("alerts", ok=False, detail=verdict.detail)
                log.error("alert refused", because=verdict.detail)
                continue
            self._health.report("alerts", ok=True)
            await self._folding.reach(verdict.position)
