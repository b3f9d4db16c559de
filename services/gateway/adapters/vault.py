"""The vault, over the bus."""

from __future__ import annotations

from typing import TYPE_CHECKING

from services.chassis import secrets

if TYPE_CHECKING:
    from contracts.types import SecretRef
    from services.chassis.ports import Bus
    from services.gateway.decide.verdicts import SecretWanted


class VaultOverBus:
    """Has secrets kept and forgotten."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus

    async def store(self, wanted: SecretWanted, value: str, request_id: str) -> SecretRef:
        """Keep a new version; the same request_id is the same version."""
        return await secrets.store(
            self._bus,
            wanted.secret_id,
            value,
            purpose=wanted.purpose,
            readers=wanted.readers,
            request_id=request_id,
        )

    async def forget(self, secret_id: str, version: int | None = None) -> None:
        """Erase one version, or all."""
        await secrets.forget(self._bus, secret_id, version)
