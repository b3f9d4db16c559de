"""The gateway over HTTP, its refusals as errors of our own tree."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import httpx2

from services.chassis.errors import NotFound, Refused, Unavailable

if TYPE_CHECKING:
    from collections.abc import Mapping

    Parameters = list[tuple[str, str | int | float | bool | None]]

TIMEOUT_S = 60.0
_NOT_FOUND, _UNAVAILABLE = 404, 500


class Gateway:
    """Asks the gateway and returns the data inside of its envelope."""

    def __init__(
        self, url: str, token: str, *, transport: httpx2.BaseTransport | None = None
    ) -> None:
        self._client = httpx2.Client(
            base_url=url.rstrip("/"),
            headers={"authorization": f"Bearer {token}"},
            timeout=TIMEOUT_S,
            transport=transport,
        )
        self._url = url

    def get(self, path: str, parameters: Parameters | None = None) -> Any:
        """Return what is at a path below /api/v1."""
        return self._data(self._ask("GET", path, parameters))

    def post(self, path: str, body: Mapping[str, Any] | None = None) -> Any:
        """Return what a command came to."""
        return self._data(self._ask("POST", path, body=body))

    def lines(self, path: str, parameters: Parameters) -> tuple[Mapping[str, str], bytes]:
        """Return an answer that is no envelope: its headers and its bytes."""
        answer = self._ask("GET", path, parameters)
        if not answer.is_success:
            self._data(answer)
        return answer.headers, answer.content

    def _ask(
        self,
        method: str,
        path: str,
        parameters: Parameters | None = None,
        body: Mapping[str, Any] | None = None,
    ) -> httpx2.Response:
        try:
            return self._client.request(
                method, f"/api/v1{path}", params=parameters or None, json=body
            )
        except httpx2.HTTPError as error:
            raise Unavailable(
                f"the gateway at {self._url} does not answer: {error}; start the platform with"
                " `just up`, or set QM_GATEWAY_URL"
            ) from error

    def _data(self, answer: httpx2.Response) -> Any:
        try:
            body = answer.json()
        except ValueError as error:
            raise Unavailable(f"what answers at {self._url} is not a gateway") from error
        if answer.is_success:
            return body["data"]
        detail = f"{answer.status_code}: {_said(body)}"
        if answer.status_code >= _UNAVAILABLE:
            raise Unavailable(detail)
        raise (NotFound if answer.status_code == _NOT_FOUND else Refused)(detail)


def _said(body: Mapping[str, Any]) -> str:
    """Return what is wrong, with the field where only one is."""
    said = str(body.get("message") or body.get("detail"))
    fields = [each.get("field") for each in body.get("errors") or ()]
    return f"{fields[0]}: {said}" if len(fields) == 1 and fields[0] else said
