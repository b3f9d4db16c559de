"""The gateway over HTTP, its refusals as errors of our own tree."""

from __future__ import annotations

from typing import Any

import httpx2

from services.chassis.errors import Refused, Unavailable

TIMEOUT_S = 610.0


class Gateway:
    """Asks the gateway and returns the data inside of its envelope."""

    def __init__(self, url: str, token: str) -> None:
        self._client = httpx2.Client(
            base_url=url.rstrip("/"),
            headers={"authorization": f"Bearer {token}"},
            timeout=TIMEOUT_S,
        )
        self._url = url

    def get(self, path: str) -> Any:
        """Return what is at a path below /api/v1."""
        return self._ask("GET", path)

    def post(self, path: str) -> Any:
        """Return what a command without a body came to."""
        return self._ask("POST", path)

    def _ask(self, method: str, path: str) -> Any:
        try:
            answer = self._client.request(method, f"/api/v1{path}")
            body = answer.json()
        except httpx2.HTTPError as error:
            raise Unavailable(
                f"the gateway at {self._url} does not answer: {error}; start the platform with"
                " `just up`, or set QM_GATEWAY_URL"
            ) from error
        except ValueError as error:
            raise Unavailable(f"what answers at {self._url} is not a gateway") from error
        if answer.is_success:
            return body["data"]
        raise Refused(f"{answer.status_code}: {body.get('message') or body.get('detail')}")
