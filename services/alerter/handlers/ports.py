"""What the alerter's handlers stand on, declared where it is used."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from contracts.envelope import Draft, Lease
from contracts.types import SecretRef
from services.alerter.decide import RETRIES_S, Letter, Sent
from services.alerter.state import Lag, Limits
from services.chassis.errors import QuartermasterError
from services.chassis.proposer import Accepted


class Door(Protocol):
    """Where messages leave."""

    async def post(self, letter: Letter, secret: str | None) -> Sent:
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


class Journal(Protocol):
    """Who knows how far others are behind the log."""

    async def lag(self) -> Lag:
        """Return where they stand; raises Refused or Unavailable."""


class Heard(Protocol):
    """Whether the log speaks to us."""

    @property
    def live(self) -> bool:
        """Whether runs and beacons arrive."""


@dataclass(frozen=True, slots=True)
class Pace:
    """When something is an alert, when a message is sent again, how many go at a time.

    remind_s: after so long an Alertmanager is told again what is open, which it believes for
    believed_s.
    """

    limits: Limits = field(default_factory=Limits)
    tick_s: float = 1.0
    retries_s: tuple[float, ...] = RETRIES_S
    per_webhook: int = 4
    remind_s: float = 60.0

    @property
    def believed_s(self) -> float:
        """Return how long an Alertmanager believes us: as long as it believes a Prometheus."""
        return 4 * self.remind_s
