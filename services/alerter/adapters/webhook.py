"""Posts a message to an address that a person named: checked, pinned, signed, bounded."""

from __future__ import annotations

import asyncio
import ipaddress
import ssl
from collections.abc import Sequence
from urllib.parse import urlsplit

import httpx2
from standardwebhooks import Webhook

from contracts.http.webhook import MEDIA_TYPE
from services.alerter.decide import Letter, Sent
from services.chassis.clock import Clock
from services.chassis.errors import Refused, Unavailable
from services.chassis.targets import Address, AllowList

# Written into IPv6, an IPv4 address could pass for a public one.
_NAT64 = ipaddress.ip_network("64:ff9b::/96")
AGENT = "quartermaster"
_PORTS = {"http": 80, "https": 443}


class PublicNetworks(AllowList):
    """Every address of the open Internet, and of our own networks only those of the list."""

    def allows(self, address: Address) -> bool:
        """Return whether a webhook may be there."""
        return super().allows(address) or all(
            one.is_global and not one.is_multicast and not one.is_reserved
            for one in _meanings(address)
        )


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


class WebhookDoor:
    """Where messages leave; what keeps one from being taken comes back as `Sent.error`."""

    def __init__(
        self,
        networks: Sequence[str],
        clock: Clock,
        *,
        allow_http: bool = False,
        timeout_s: float = 5.0,
        ca: str | None = None,
    ) -> None:
        self._networks, self._clock = PublicNetworks(networks, resolve_s=timeout_s), clock
        self._schemes = ("https", "http") if allow_http else ("https",)
        self._timeout_s = timeout_s
        # Nothing is kept open, so that every message goes to an address checked for it.
        limits = httpx2.Limits(max_keepalive_connections=0)
        verify = ssl.create_default_context(cafile=ca) if ca else True
        transport = httpx2.AsyncHTTPTransport(verify=verify, trust_env=False, limits=limits)
        self._client = httpx2.AsyncClient(
            transport=transport, timeout=timeout_s, follow_redirects=False, trust_env=False
        )

    async def post(self, letter: Letter, secret: str | None) -> Sent:
        """Return how the webhook took a message; without a secret it is not signed."""
        try:
            async with asyncio.timeout(self._timeout_s):
                is_signed = letter.kind == "standard"
                headers = self._headers(letter, secret) if is_signed else _let_in(secret)
                return Sent(await self._post(letter.url, headers, letter.body))
        except (TimeoutError, httpx2.TimeoutException):
            return Sent(error=f"no answer in {self._timeout_s:g} s")
        except (Refused, Unavailable) as error:
            return Sent(error=error.detail)
        except (httpx2.HTTPError, httpx2.InvalidURL) as error:
            return Sent(error=f"not sent: {error!r}")

    async def close(self) -> None:
        """Close every connection."""
        await self._client.aclose()

    def _headers(self, letter: Letter, secret: str | None) -> dict[str, str]:
        now = self._clock.now()
        headers = {
            "content-type": MEDIA_TYPE,
            "user-agent": AGENT,
            "webhook-id": letter.id,
            "webhook-timestamp": str(int(now.timestamp())),
        }
        if secret is not None:
            try:
                signature = Webhook(secret).sign(letter.id, now, letter.body.decode())
            except ValueError as error:
                raise Refused("the webhook's secret is not base64") from error
            headers["webhook-signature"] = signature
        return headers

    async def _post(self, url: str, headers: dict[str, str], body: bytes) -> int:
        host, port, scheme = self._target(url)
        tried = await self._networks.addresses(host)
        for number, ip in enumerate(tried, 1):
            try:
                return await self._post_to(ip, url, (host, port, scheme), headers, body)
            except httpx2.ConnectError:
                if number == len(tried):
                    raise
        raise Unavailable(f"{host} has no address")

    async def _post_to(
        self, ip: str, url: str, target: tuple[str, int, str], headers: dict[str, str], body: bytes
    ) -> int:
        """Post to the address that was checked, in the name of the host that was asked for."""
        host, port, scheme = target
        place = f"{_bracketed(ip)}:{port}"
        parts = urlsplit(url)
        path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        named = _bracketed(host) if port == _PORTS[scheme] else f"{_bracketed(host)}:{port}"
        request = self._client.build_request(
            "POST",
            f"{scheme}://{place}{path}",
            headers={**headers, "host": named},
            content=body,
            extensions={"sni_hostname": host},
        )
        response = await self._client.send(request, stream=True)
        await response.aclose()  # its status says all; whatever body it has is never read
        return response.status_code

    def _target(self, url: str) -> tuple[str, int, str]:
        try:
            parts = urlsplit(url)
            host, port = parts.hostname, parts.port
        except ValueError as error:
            raise Refused(f"the address is not a URL: {error}") from error
        if parts.scheme not in self._schemes:
            raise Refused(f"the address must begin with {' or '.join(self._schemes)}")
        if not host or parts.username is not None:
            raise Refused("the address must name a host, and no user")
        return host, port or _PORTS[parts.scheme], parts.scheme


def _let_in(token: str | None) -> dict[str, str]:
    """Return the headers for those who know no signatures, but perhaps who may come in."""
    headers = {"content-type": "application/json", "user-agent": AGENT}
    return headers | {"authorization": f"Bearer {token}"} if token is not None else headers


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host
