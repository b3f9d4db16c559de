"""Where a command's secret goes: a credential to our own table, any other to the vault."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from contracts.types import SecretRef
    from services.gateway.decide.verdicts import SecretWanted
    from services.gateway.handlers.entry_ports import Credentials
    from services.gateway.handlers.ports import Vault

# A model's or a webhook's secret begins with the id that we gave it: none begins like these.
OURS = ("account.", "key.")


class Places:
    """A vault to whoever carries out commands."""

    def __init__(self, vault: Vault, credentials: Credentials) -> None:
        self._vault, self._credentials = vault, credentials

    async def store(self, wanted: SecretWanted, value: str, request_id: str) -> SecretRef:
        """Keep a new version; of a credential, `value` is its digest already."""
        if wanted.secret_id.startswith(OURS):
            return await self._credentials.keep(wanted.secret_id, value, request_id, wanted.above)
        return await self._vault.store(wanted, value, request_id)

    async def forget(self, secret_id: str, version: int | None = None) -> None:
        """Erase one version, or all."""
        if secret_id.startswith(OURS):
            await self._credentials.forget(secret_id, version)
        else:
            await self._vault.forget(secret_id, version)
