"""Where a request comes from: the connection's address, or what proxies we trust say it is."""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from starlette.requests import HTTPConnection

    from services.chassis.targets import AllowList

NOWHERE = "nowhere"
_IPV6_SITE = 64  # whoever has one address of a network has all of them


class Proxies:
    """Proxies whose X-Forwarded-For is believed; of any other it is not looked at."""

    def __init__(self, trusted: AllowList) -> None:
        self._trusted = trusted

    def address(self, request: HTTPConnection) -> str:
        """Return whom attempts are counted for: an IPv4 address or an IPv6 network."""
        return _site(self._origin(request))

    def told_on(self, request: HTTPConnection) -> str | None:
        """Return the address to tell whoever is asked for them; None where none is known."""
        plain = self._origin(request).partition("%")[0]  # a zone means nothing elsewhere
        try:
            return str(ipaddress.ip_address(plain))
        except ValueError:
            return request.client.host if request.client else None

    def _origin(self, request: HTTPConnection) -> str:
        address = request.client.host if request.client else NOWHERE
        told = ",".join(request.headers.getlist("x-forwarded-for")).split(",")
        while self._is_trusted(address) and told:
            before = told.pop().strip()
            if not before:
                break
            address = before
        return address

    def _is_trusted(self, address: str) -> bool:
        try:
            return self._trusted.allows(ipaddress.ip_address(address))
        except ValueError:
            return False


def _site(address: str) -> str:
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return address[:100]
    plain = getattr(found, "ipv4_mapped", None) or found
    if isinstance(plain, ipaddress.IPv6Address):
        return str(ipaddress.ip_network((plain, _IPV6_SITE), strict=False))
    return str(plain)
