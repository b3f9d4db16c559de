"""Raise and resolve alerts, and carry each to every webhook until it is taken or given up."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

import structlog

from contracts.envelope import Draft, Lease
from contracts.types import SecretRef
from services.alerter import decide
from services.alerter.decide import RETRIES_S, Sent
from services.alerter.state import Limits, Pending, State, Webhook
from services.chassis.clock import Clock
from services.chassis.errors import Fenced, QuartermasterError, Refused, Unavailable
from services.chassis.folding import Folding
from services.chassis.health import Health
from services.chassis.leadership import Term
from services.chassis.proposer import Accepted
from services.chassis.supervision import Together

log = structlog.get_logger(__name__)


class Door(Protocol):
    """Where messages leave."""

    async def post(self, url: str, message_id: str, body: bytes, secret: str | None) -> Sent:
        """Return how the webhook took it; raises nothing for the webhook's faults."""


class Secrets(Protocol):
    """What messages are signed with."""

    async def __call__(self, ref: SecretRef) -> str:
        """Return a secret; raises Refused or Unavailable."""

    def remembered(self, ref: SecretRef) -> str | None:
        """Return a secret that is known already."""


class Voice(Protocol):
    """What the proposer does for the alerter."""

    async def propose_all(
        self, proposals: Sequence[Sequence[Draft]], lease: Lease | None = None
    ) -> list[Accepted | QuartermasterError]:
        """Return a verdict for each."""


@dataclass(frozen=True, slots=True)
class Pace:
    """When something is an alert, when a message is sent again, how many go at a time."""

    limits: Limits = field(default_factory=Limits)
    tick_s: float = 1.0
    retries_s: tuple[float, ...] = RETRIES_S
    per_webhook: int = 4


class Alerter:
    """Judges and sends while leading; what was sent is in the log, so a successor goes on."""

    def __init__(
        self,
        state: State,
        folding: Folding,
        voice: Voice,
        door: Door,
        secrets: Secrets,
        health: Health,
        pace: Pace,
    ) -> None:
        self._state, self._folding, self._voice = state, folding, voice
        self._door, self._secrets, self._health, self._pace = door, secrets, health, pace
        self._sending: set[tuple[str, str]] = set()
        self._places: defaultdict[str, asyncio.Semaphore] = defaultdict(
            lambda: asyncio.Semaphore(pace.per_webhook)
        )

    async def act(self, term: Term) -> None:
        """Judge whenever something happened or time has passed, until the term is over."""
        self._sending.clear()
        async with Together() as tasks:
            while True:
                await self._judge(term)
                self._send_what_is_due(term, tasks)
                await self._folding.changed(timeout_s=self._pace.tick_s)

    async def _judge(self, term: Term) -> None:
        now = self._folding.now()
        await self._record(decide.alerts(self._state, now, self._pace.limits), term)

    def _send_what_is_due(self, term: Term, tasks: Together) -> None:
        now = self._folding.now()
        for pending in decide.due(self._state, now, self._pace.retries_s, self._sending):
            self._sending.add(pending.key)
            tasks.create_task(self._send(pending, term))

    async def _send(self, pending: Pending, term: Term) -> None:
        try:
            async with self._places[pending.webhook_id]:
                webhook = self._state.webhooks.get(pending.webhook_id)
                if webhook is None:
                    return  # it was deleted while the message waited for its place
                sent = await self._post(webhook, pending)
            if not sent.ok:
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

    async def _post(self, webhook: Webhook, pending: Pending) -> Sent:
        try:
            secret = await self._secrets(webhook.secret) if webhook.secret else None
        except (Refused, Unavailable) as error:
            return Sent(error=error.detail)
        body = decide.message(pending).model_dump_json().encode()
        return await self._door.post(webhook.url, pending.message_id, body, secret)

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


class Heard(Protocol):
    """Whether the log speaks to us."""

    @property
    def live(self) -> bool:
        """Whether runs and beacons arrive."""


class Watchman:
    """Cries out by itself when the log falls silent, for then nothing can be recorded.

    Only the process that led last does so, and only to webhooks whose secret it knows already.
    """

    def __init__(
        self, state: State, holder: str, heard: Heard, door: Door, secrets: Secrets, clock: Clock
    ) -> None:
        self._state, self._holder, self._heard = state, holder, heard
        self._door, self._secrets, self._clock = door, secrets, clock

    async def watch(self, silence_s: float, look_s: float = 1.0) -> None:
        """Watch for ever; cry once at each silence, and once when it is over."""
        heard_at = self._clock.monotonic()
        silences, cried = 0, False
        while True:
            await self._clock.sleep(look_s)
            now_s = self._clock.monotonic()
            if self._heard.live:
                heard_at = now_s
                if cried:
                    await self._cry("alert.resolved", silences)
                    cried = False
                await self._learn_secrets()
            elif now_s - heard_at >= silence_s and not cried:
                silences, cried = silences + 1, True
                log.critical("the log is silent", silent_s=round(now_s - heard_at))
                await self._cry("alert.raised", silences)

    async def _learn_secrets(self) -> None:
        """Ask for what a cry would be signed with, while the vault still answers."""
        for webhook in list(self._state.webhooks.values()):
            if webhook.secret and self._secrets.remembered(webhook.secret) is None:
                try:
                    await self._secrets(webhook.secret)
                except (Refused, Unavailable) as error:
                    log.debug("secret not known", because=error.detail)

    async def _cry(self, type_: str, number: int) -> None:
        if self._state.leader != self._holder:
            return
        body = decide.cry(type_, self._holder, number, self._clock.now())
        async with asyncio.TaskGroup() as tasks:
            for webhook in list(self._state.webhooks.values()):
                secret = self._secrets.remembered(webhook.secret) if webhook.secret else None
                if secret is not None or webhook.secret is None:
                    content = body.model_dump_json().encode()
                    tasks.create_task(self._door.post(webhook.url, body.id, content, secret))
