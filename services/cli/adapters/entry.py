"""Coming in: which gateway and which token, and a new token when the old one has run out."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import httpx2

from services.chassis.errors import Refused, Unavailable
from services.cli.adapters.keeping import DEFAULT, Login, Logins

if TYPE_CHECKING:
    from collections.abc import Mapping

LOCAL = "http://127.0.0.1:8000"
API = "/api/v1"
TIMEOUT_S = 30.0
_BAD, _OUR_SIDE = 400, 500


class NotAllowed(Refused):
    """Nobody is let in with this."""

    code = "not_allowed"
    status = 403


class Entry:
    """Where to, and as whom. What is named here wins over what is kept. api: where that begins.

    A kept token goes to the gateway that gave it and to no other.
    """

    def __init__(
        self,
        logins: Logins,
        *,
        url: str | None = None,
        token: str | None = None,
        context: str | None = None,
        api: str = API,
        transport: httpx2.BaseTransport | None = None,
    ) -> None:
        self.logins, self.api, self._token, self._transport = logins, api, token, transport
        kept = logins.read()
        self.context = context or self._context_of(kept.logins, url, kept.current)
        login = kept.logins.get(self.context)
        if context and login is None and not (url or token):
            raise Refused(
                f"there is no context {context}: `quartermaster context` lists them, and"
                f" `quartermaster login --url URL --context {context}` makes it"
            )
        self.url = _checked(url or (login.url if login else LOCAL)).rstrip("/")
        if token and not (token.isascii() and token.isprintable()):
            raise Refused("the token has characters that no token has: was all of it copied?")
        self._login = login if login and login.url == self.url and not token else None

    @staticmethod
    def _context_of(logins: Mapping[str, Login], url: str | None, current: str) -> str:
        wanted = url.rstrip("/") if url else None
        of_url = [name for name, each in logins.items() if each.url == wanted]
        return current if wanted is None or current in of_url or not of_url else of_url[0]

    @property
    def token(self) -> str:
        """Return what is shown at the door; NotAllowed when there is nothing to show."""
        if self._token:
            return self._token
        if self._login is None:
            raise NotAllowed(
                f"nobody is logged in at {self.url}: run `quartermaster login --url {self.url}`, or"
                " set QM_TOKEN (`just up` prints one)"
            )
        return self._login.access

    def renewed(self) -> bool:
        """Exchange the kept token for a new one; False where that is not possible.

        A refresh token is good once, so whoever waited for the file looks whether it was done.
        """
        if self._login is None:
            return False
        with self.logins.changing() as kept:
            now = kept.logins.get(self.context)
            if now is None or now.url != self.url:
                return False
            if now.access == self._login.access:
                if now.refresh is None:
                    return False
                given = self._post("/auth/jwt/refresh", {"refresh_token": now.refresh})
                if given is None:
                    return False
                now = _with(now, given)
                kept.logins[self.context] = now
            self._login = now
        return True

    def log_in(self, username: str, password: str) -> None:
        """Exchange a name and a password for tokens, and keep them."""
        given = self._post("/auth/jwt/login", {"username": username, "password": password})
        if given is None:
            raise NotAllowed(f"{self.url} does not let {username} in: wrong name or password")
        self._keep(_with(Login(self.url, "", username=username), given))

    def take(self, token: str, username: str) -> None:
        """Keep a token that somebody was given, such as an API key."""
        self._keep(Login(self.url, token, username=username))

    def log_out(self) -> bool:
        """End the session there and forget it here; False when there was none."""
        with self.logins.changing() as kept:
            login = kept.logins.pop(self.context, None)
            if login is None:
                return False
            if kept.current == self.context:
                kept.current = next(iter(kept.logins), DEFAULT)
        if login.refresh and not self._ended(login):
            # Its access token has run out: only a fresh one may end the session.
            given = self._post("/auth/jwt/refresh", {"refresh_token": login.refresh})
            if given is not None:
                self._ended(_with(login, given))
        return True

    def _ended(self, login: Login) -> bool:
        bearer = {"authorization": f"Bearer {login.access}"}
        return self._post("/auth/jwt/logout", {}, bearer) is not None

    def _keep(self, login: Login) -> None:
        with self.logins.changing() as kept:
            kept.logins[self.context] = login
            kept.current = self.context
        self._login, self._token = login, None

    def _post(
        self, path: str, body: Mapping[str, str], headers: Mapping[str, str] | None = None
    ) -> dict[str, Any] | None:
        """Return the answer, None when we are not let in; raises Unavailable."""
        try:
            with httpx2.Client(timeout=TIMEOUT_S, transport=self._transport) as client:
                answer = client.post(f"{self.url}{path}", json=dict(body), headers=headers)
                found = answer.json() if answer.content else {}
        except (httpx2.HTTPError, ValueError) as error:
            raise Unavailable(f"the gateway at {self.url} does not answer: {error}") from error
        if answer.status_code >= _OUR_SIDE or answer.status_code == httpx2.codes.TOO_MANY_REQUESTS:
            raise Unavailable(str(found.get("detail") or answer.status_code))
        return None if answer.status_code >= _BAD else found


def _checked(url: str) -> str:
    """Return an address; Refused when nothing can be asked there."""
    try:
        parsed = httpx2.URL(url)
    except httpx2.InvalidURL as error:
        raise Refused(f"{url} is no address of a gateway: {error}") from error
    if parsed.scheme not in ("http", "https") or not parsed.host:
        raise Refused(f"{url} is no address of a gateway: http://... or https://... is wanted")
    return url


def _with(login: Login, given: Mapping[str, Any]) -> Login:
    return replace(login, access=given["access_token"], refresh=given.get("refresh_token"))
