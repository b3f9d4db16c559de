"""Which machines we may connect to when people name them: networks, checked on the address."""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from typing import TYPE_CHECKING, Any

from pydantic import BeforeValidator

from services.chassis.errors import Refused, Unavailable

if TYPE_CHECKING:
    from collections.abc import Iterable

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
PRIVATE_NETWORKS = (
    "127.0.0.0/8",
    "10.0.0.0/8",
    "172.16.0.0/12",
    "192.168.0.0/16",
    "100.64.0.0/10",
    "::1/128",
    "fc00::/7",
)


def _networks(value: Any) -> tuple[str, ...]:
    """Return comma separated networks one by one; ValueError names the one that is none."""
    parts = value.split(",") if isinstance(value, str) else value
    return tuple(str(ipaddress.ip_network(part.strip())) for part in parts if part.strip())


Networks = BeforeValidator(_networks)


def literal(host: str) -> Address | None:
    """Return the address that a host is written as; None for a name."""
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None


class AllowList:
    """Networks that may be reached; a name is resolved once and its checked address is used."""

    def __init__(self, networks: Iterable[str], *, resolve_s: float = 3.0) -> None:
        self._networks = tuple(ipaddress.ip_network(network) for network in networks)
        self._resolve_s = resolve_s

    def allows(self, address: Address) -> bool:
        """Return whether an address lies in a network of the list; mapped IPv4 counts as IPv4."""
        plain = getattr(address, "ipv4_mapped", None) or address
        return any(plain in network for network in self._networks)

    async def address(self, host: str) -> str:
        """Return the address to connect to; Refused when any address of `host` is not allowed.

        Every address must be allowed, so that a name cannot lead elsewhere at its next use.
        """
        return (await self.addresses(host))[0]

    async def addresses(self, host: str) -> list[str]:
        """Return every address of `host`, as `address` checks them, to be tried in this order."""
        found = await self._resolve(host)
        for address in found:
            if not self.allows(address):
                raise Refused(f"{host} ({address}) is in no network we may connect to")
        return [str(address) for address in found]

    async def _resolve(self, host: str) -> list[Address]:
        if (address := literal(host)) is not None:
            return [address]
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(self._resolve_s):
                found = await loop.getaddrinfo(host, None, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError) as error:
            raise Unavailable(f"the name {host} cannot be resolved: {error}") from error
        return [ipaddress.ip_address(entry[4][0]) for entry in found]
