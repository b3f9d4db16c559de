"""A command that comes without a secret."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from services.gateway.decide.verdicts import Given, SecretWanted


class Plain:
    """Nothing of it must be kept in the vault."""

    def secret_wanted(self, given: Given) -> SecretWanted | None:
        """Return None."""
        del given
        return None
