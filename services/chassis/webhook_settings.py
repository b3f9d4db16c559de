"""What can be tuned about where webhooks may be; the gateway and the alerter read the same."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field
from pydantic_settings import BaseSettings, NoDecode

from services.chassis.targets import Networks
from services.chassis.webhook_targets import WebhookTargets


class WebhookSettings(BaseSettings):
    """Where messages may go: judged when an address is registered, and at every delivery."""

    webhook_networks: Annotated[tuple[str, ...], NoDecode, Networks] = Field(
        default=(),
        description="Networks (CIDR, comma separated) of our own where webhooks may be; otherwise"
        " only addresses of the open Internet are posted to. The same for gateway and alerter.",
    )
    webhook_allow_http: bool = Field(
        default=False,
        description="On to post without encryption, where the network itself is trusted. The same"
        " for gateway and alerter.",
    )

    def webhook_targets(self, resolve_s: float = 3.0) -> WebhookTargets:
        """Return the rule; a name may take so long to be resolved."""
        return WebhookTargets(
            self.webhook_networks, allow_http=self.webhook_allow_http, resolve_s=resolve_s
        )
