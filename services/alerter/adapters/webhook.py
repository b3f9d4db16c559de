"""Posts a message to an address that a person named: checked, pinned, signed, bounded."""

from __future__ import annotations

import asyncio
import ssl
from urllib.parse import urlsplit

import httpx2
from standardwebhooks import Webhook

from contracts.http.webhook import MEDIA_TYPE
from services.alerter.decide import Letter, Sent
from services.chassis.clock import Clock
from services.chassis.errors import Refused, Unavailable
from services.chassis.webhook_targets import Target, WebhookTargets

AGENT = "quartermaster"


class WebhookDoor:
    """Where messages leave; what keeps one from being taken comes back as `Sent.error`."""

    def __init__(
        self,
        targets: WebhookTargets,
        clock: Clock,
        *,
        timeout_s: float = 5.0,
        ca: str | None = None,
    ) -> None:
        self._targets, self._clock = targets, clock
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
        target = self._targets.target(url)
        tried = await self._targets.networks.addresses(target.host)
        for number, ip in enumerate(tried, 1):
            try:
                return await self._post_to(ip, url, target, headers, body)
            except httpx2.ConnectError:
                if number == len(tried):
                    raise
        raise Unavailable(f"{target.host} has no address")

    async def _post_to(
        self, ip: str, url: str, target: Target, headers: dict[str, str], body: bytes
    ) -> int:
        """Post to the address that was checked, in the name of the host that was asked for."""
        place = f"[{ip}]:{target.port}" if ":" in ip else f"{ip}:{target.port}"
        parts = urlsplit(url)
        path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        request = self._client.build_request(
            "POST",
            f"{target.scheme}://{place}{path}",
            headers={**headers, "host": target.named},
            content=body,
            extensions={"sni_hostname": target.host},
        )
        response = await self._client.send(request, stream=True)
        await response.aclose()  # its status says all; whatever body it has is never read
        return response.status_code


def _let_in(token: str | None) -> dict[str, str]:
    """Return the headers for those who know no signatures, but perhaps who may come in."""
    headers = {"content-type": "application/json", "user-agent": AGENT}
    if token is not None and not (token.isascii() and token.isprintable()):
        raise Refused("the token has characters that no header can carry")
    return headers | {"authorization": f"Bearer {token}"} if token is not None else headers
