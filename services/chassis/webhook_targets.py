"""Where webhooks may be: what the gateway registers, and what the alerter posts to."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from services.chassis.errors import Refused
from services.chassis.targets import Address, AllowList, literal

if TYPE_CHECKING:
    from collections.abc import Sequence

# Written into IPv6, an IPv4 address could pass for a public one.
_NAT64 = ipaddress.ip_network("64:ff9b::/96")
_PORTS = {"http": 80, "https": 443}


class PublicNetworks(AllowList):
    """Every address of the open Internet, and of our own networks only those of the list."""

    def allows(self, address: Address) -> bool:
        """Return whether a webhook may be there."""
        return super().allows(address) or all(
            one.is_global and not one.is_multicast and not one.is_reserved
            for one in _meanings(address)
        )


@dataclass(frozen=True, slots=True)
class Target:
    """A webhook's address in its parts; `host` is a name or an address without brackets."""

    scheme: str
    host: str
    port: int

    @property
    def named(self) -> str:
        """The host as a request names it: without the port that its scheme has anyway."""
        name = f"[{self.host}]" if ":" in self.host else self.host
        return name if self.port == _PORTS[self.scheme] else f"{name}:{self.port}"


class WebhookTargets:
    """The rule, asked when an address is registered and again whenever it is posted to."""

    def __init__(
        self, networks: Sequence[str], *, allow_http: bool = False, resolve_s: float = 3.0
    ) -> None:
        self.networks = PublicNetworks(networks, resolve_s=resolve_s)
        self._schemes = ("https", "http") if allow_http else ("https",)

    def check(self, url: str | None) -> None:
        """Raise Refused, naming the field, when nothing would ever be posted there."""
        if not url:
            return
        try:
            address = literal(self.target(url).host)
        except Refused as error:
            raise Refused(error.detail, field="url") from error
        if address is not None and not self.networks.allows(address):
            raise Refused(f"{address} is in no network we may connect to", field="url")

    def target(self, url: str) -> Target:
        """Return the parts of an address; Refused when it is none that messages may go to."""
        try:
            parts = urlsplit(url)
            host, port = parts.hostname, parts.port
        except ValueError as error:
            raise Refused(f"the address is not a URL: {error}") from error
        if parts.scheme not in self._schemes:
            raise Refused(f"the address must begin with {' or '.join(self._schemes)}")
        if not host or parts.username is not None:
            raise Refused("the address must name a host, and no user")
        return Target(parts.scheme, host, port or _PORTS[parts.scheme])


def _meanings(address: Address) -> list[Address]:
    """Return every address that is meant by one: an IPv4 address may be written into it."""
    if isinstance(address, ipaddress.IPv4Address):
        return [address]
    if address.ipv4_mapped:
        return [address.ipv4_mapped]
    if address in _NAT64:
        return [ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)]
    tunnelled = [address.sixtofour, *(address.teredo or ())]
    return [address, *(one for one in tunnelled if one is not None)]
