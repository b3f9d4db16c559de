"""What carrying out a command needs of the world."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence

    from contracts.envelope import Draft
    from contracts.types import SecretRef
    from services.chassis.proposer import Accepted
    from services.gateway.decide.asking import Answer, Asked, Claim, Stored
    from services.gateway.decide.verdicts import SecretWanted


class Keys(Protocol):
    """Where idempotency keys are kept."""

    async def claim(self, asked: Asked) -> Claim:
        """Return the claim on a key; Refused for another fingerprint, Conflict while in flight."""

    async def keep(self, claim: Claim, stored: Stored) -> None:
        """Keep what is about to be proposed; Conflict when the claim was lost meanwhile."""

    async def finish(self, claim: Claim, answer: Answer) -> None:
        """Keep the answer."""

    async def let_go(self, claim: Claim) -> None:
        """Let the next request go on from what is stored."""

    async def forget(self, claim: Claim) -> None:
        """Forget the key: nothing came of it."""


class Vault(Protocol):
    """Where secrets are kept."""

    async def store(self, wanted: SecretWanted, value: str, request_id: str) -> SecretRef:
        """Keep a new version; the same request_id is the same version."""

    async def forget(self, secret_id: str, version: int | None = None) -> None:
        """Erase one version, or all."""


class Recorder(Protocol):
    """The way to the log."""

    async def propose(
        self, *drafts: Draft, event_ids: Sequence[str] | None = None, actor: str | None = None
    ) -> Accepted:
        """Return where the events were recorded, all together."""

    def offer(self, *drafts: Draft) -> None:
        """Hand over telemetry and go on."""


class Log(Protocol):
    """What was folded of the log."""

    @property
    def position(self) -> int:
        """The position everything is folded through."""

    async def reach(self, position: int, timeout_s: float = 10.0) -> None:
        """Return when everything through `position` is folded."""

    async def caught_up(self) -> None:
        """Return when everything known to be recorded is folded."""
