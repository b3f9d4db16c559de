"""What a browser is told to forbid, and requests that another site made are refused."""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.datastructures import Headers, MutableHeaders

from services.chassis.problems import refusal

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from services.chassis.problems import Render

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:;"
    " connect-src 'self'; manifest-src 'self'; form-action 'self'; base-uri 'none';"
    " frame-ancestors 'none'"
)
HEADERS = {
    "content-security-policy": POLICY,
    "x-content-type-options": "nosniff",
    "referrer-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=()",
}
_READS = frozenset({"GET", "HEAD"})


class Guard:
    """Adds the headers to every answer, and refuses commands that did not come from our pages."""

    def __init__(self, app: ASGIApp, render: Render) -> None:
        self._app, self._render = app, render

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on what may pass."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
                headers.setdefault("cache-control", "no-store")
            await send(message)

        if scope["method"] in _READS or is_ours(Headers(scope=scope)):
            await self._app(scope, receive, with_headers)
            return
        detail = "this did not come from one of our pages: open the console and do it there"
        problem = refusal(scope["path"], 403, "forbidden", detail)
        await self._render(scope["path"], problem)(scope, receive, with_headers)


def is_ours(headers: Headers) -> bool:
    """Return whether a page of ours sent this; browsers say so, and nobody can say it for them.

    The cookie is SameSite=Strict besides; that alone does not tell two ports of a host apart.
    """
    site = headers.get("sec-fetch-site")
    if site is not None:
        return site == "same-origin"
    origin, host = headers.get("origin", ""), headers.get("host", "")
    return bool(host) and origin.partition("://")[2] == host
