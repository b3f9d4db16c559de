"""The gateway over HTTP, its refusals as errors of our own tree."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Protocol

import httpx2

from services.chassis.errors import Conflict, NotFound, QuartermasterError, Refused, Unavailable
from services.chassis.ids import uuid7
from services.cli.adapters.entry import NotAllowed

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    Parameters = list[tuple[str, str | int | float | bool | None]]

TIMEOUT_S = 60.0
CONNECT_S = 5.0
_UNAVAILABLE = 500
_CLASSES: dict[int, type[QuartermasterError]] = {
    401: NotAllowed,
    403: NotAllowed,
    404: NotFound,
    409: Conflict,
    412: Conflict,
    429: Unavailable,
}


class Entry(Protocol):
    """Where to, and as whom."""

    url: str
    api: str

    @property
    def token(self) -> str:
        """What is shown at the door."""

    def renewed(self) -> bool:
        """Return whether there is a new token now."""


class Gateway:
    """Asks the gateway and returns the data inside of its envelope."""

    def __init__(self, entry: Entry, *, transport: httpx2.BaseTransport | None = None) -> None:
        self.entry = entry
        self._client = httpx2.Client(
            base_url=entry.url,
            timeout=httpx2.Timeout(TIMEOUT_S, connect=CONNECT_S),
            transport=transport,
        )

    def get(self, path: str, parameters: Parameters | None = None) -> Any:
        """Return what is at a path below /api/v1."""
        return self._body("GET", path, parameters)["data"]

    def post(self, path: str, body: Mapping[str, Any] | None = None) -> Any:
        """Return what a command came to."""
        return self._body("POST", path, body=body)["data"]

    def patch(self, path: str, body: Mapping[str, Any], if_position: int | None = None) -> Any:
        """Change what is at a path, unless it has changed since a position."""
        parameters: Parameters = [] if if_position is None else [("if_position", if_position)]
        return self._body("PATCH", path, parameters, body)["data"]

    def delete(self, path: str, parameters: Parameters | None = None) -> Any:
        """Delete what is at a path."""
        return self._body("DELETE", path, parameters)["data"]

    def plain(self, path: str) -> Any:
        """Return what is at a path outside of the API: no envelope is around it."""
        return self._json(self._ask("GET", path, prefix=""))

    def lines(self, path: str, parameters: Parameters) -> tuple[Mapping[str, str], bytes]:
        """Return an answer that is no envelope: its headers and its bytes."""
        answer = self._ask("GET", path, parameters)
        return answer.headers, answer.content

    @contextmanager
    def stream(
        self,
        path: str,
        parameters: Parameters,
        headers: Mapping[str, str],
        *,
        silence_s: float | None = None,
    ) -> Iterator[httpx2.Response]:
        """Yield an answer that comes bit by bit; Unavailable after too long a silence."""
        timeout = httpx2.Timeout(silence_s, connect=CONNECT_S)
        with self._answering():
            for is_last in (False, True):
                with self._client.stream(
                    "GET",
                    f"{self.entry.api}{path}",
                    params=parameters,
                    headers={**headers, **self._shown(), "accept-encoding": "identity"},
                    timeout=timeout,
                ) as answer:
                    if answer.is_success:
                        yield answer
                        return
                    answer.read()
                    is_known = answer.status_code != httpx2.codes.UNAUTHORIZED
                    if is_last or is_known or not self.entry.renewed():
                        raise _refusal(answer)

    def _body(
        self,
        method: str,
        path: str,
        parameters: Parameters | None = None,
        body: Mapping[str, Any] | None = None,
    ) -> Any:
        found = self._json(self._ask(method, path, parameters, body))
        if not isinstance(found, dict) or "data" not in found:
            raise Unavailable(f"what answers at {self.entry.url} is not a gateway")
        return found

    def _ask(
        self,
        method: str,
        path: str,
        parameters: Parameters | None = None,
        body: Mapping[str, Any] | None = None,
        prefix: str | None = None,
    ) -> httpx2.Response:
        """Return an answer that is a success; a token that has run out is renewed once."""
        # The same key with the same command: a second try is not a second command.
        key = {} if method == "GET" else {"idempotency-key": uuid7()}
        sent: Any = {"params": parameters or None, "json": body}
        url = f"{self.entry.api if prefix is None else prefix}{path}"
        with self._answering():
            answer = self._client.request(method, url, headers={**key, **self._shown()}, **sent)
            if answer.status_code == httpx2.codes.UNAUTHORIZED and self.entry.renewed():
                answer = self._client.request(method, url, headers={**key, **self._shown()}, **sent)
        if answer.is_success:
            return answer
        raise _refusal(answer)

    def _shown(self) -> dict[str, str]:
        return {"authorization": f"Bearer {self.entry.token}"}

    @contextmanager
    def _answering(self) -> Iterator[None]:
        try:
            yield
        except httpx2.HTTPError as error:
            raise Unavailable(
                f"the gateway at {self.entry.url} does not answer: {error}; start the platform with"
                " `quartermaster up`, or set QM_URL"
            ) from error

    def _json(self, answer: httpx2.Response) -> Any:
        try:
            return answer.json()
        except ValueError as error:
            raise Unavailable(f"what answers at {self.entry.url} is not a gateway") from error


def _refusal(answer: httpx2.Response) -> QuartermasterError:
    """Return a refusal as an error whose class says whose fault it is."""
    try:
        said = _said(answer.json())
    except (ValueError, AttributeError):
        said = "what answers is not a gateway"
    detail = f"{answer.status_code}: {said}"
    if answer.status_code == httpx2.codes.UNAUTHORIZED:
        detail += "; log in with `quartermaster login`"
    if answer.status_code >= _UNAVAILABLE:
        return Unavailable(detail)
    return _CLASSES.get(answer.status_code, Refused)(detail)


def _said(body: Mapping[str, Any]) -> str:
    """Return what is wrong, with the fields it is about."""
    said = str(body.get("message") or body.get("detail"))
    fields = [f"{each['field']}: {each['message']}" for each in body.get("errors") or ()]
    if not fields:
        return said
    return "; ".join(fields) if len(fields) > 1 else _with_field(body["errors"][0], said)


def _with_field(error: Mapping[str, Any], said: str) -> str:
    field = error.get("field")
    return f"{field}: {said}" if field and not said.startswith(f"{field}:") else said
