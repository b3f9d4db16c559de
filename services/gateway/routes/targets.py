"""Addresses people name: an IP outside of the allowed networks is refused when it is registered."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import urlsplit

from services.chassis.errors import Refused
from services.chassis.targets import AllowList, literal
from services.chassis.webhook_targets import WebhookTargets


@dataclass(frozen=True)
class Targets:
    """Where agents, models' brokers and webhooks may be.

    Names are checked by whoever resolves them.
    """

    agents: AllowList
    brokers: AllowList
    webhooks: WebhookTargets

    def check_agent(self, url: str | None) -> None:
        """Raise Refused, naming the field, when an agent may not be there."""
        if not url:
            return
        try:
            parts = urlsplit(url)
            host, _ = parts.hostname, parts.port
        except ValueError as error:
            raise Refused(f"this is no URL: {error}", field="agent_url") from error
        _check(self.agents, host or "", "agent_url")

    def check_broker(self, host: str | None) -> None:
        """Raise Refused, naming the field, when a broker may not be there."""
        if host:
            _check(self.brokers, host.strip("[]"), "rabbitmq_host")


def _check(allowed: AllowList, host: str, field: str) -> None:
    address = literal(host)
    if address is not None and not allowed.allows(address):
        raise Refused(f"{host} is in no network we may connect to", field=field)
