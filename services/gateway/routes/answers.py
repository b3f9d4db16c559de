"""The envelope of the v1 API: around answers, what query said byte by byte, and refusals."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from starlette.responses import Response

from services.chassis.problems import Problem, as_problem_json, encode

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime

JSON = "application/json"
_MESSAGES = {200: "ok", 201: "created", 202: "accepted"}


class Envelopes:
    """Makes answers of one form; `now` gives their timestamp."""

    def __init__(self, prefix: str, now: Callable[[], datetime]) -> None:
        self._prefix, self.now = prefix, now

    def around(
        self,
        data: Any,
        *,
        status: int = 200,
        position: int | None = None,
        headers: Mapping[str, str] | None = None,
        as_of: bytes | None = None,
    ) -> Response:
        """Return an answer with its data."""
        return self.around_bytes(
            encode(data), status=status, position=position, headers=headers, as_of=as_of
        )

    def around_bytes(
        self,
        data: bytes,
        *,
        status: int = 200,
        position: int | None = None,
        headers: Mapping[str, str] | None = None,
        as_of: bytes | None = None,
    ) -> Response:
        """Return an answer whose data is JSON already: it is spliced in, not read again.

        as_of: the point of the past that it is of, as JSON.
        """
        head = encode({"success": True, "code": status, "message": _MESSAGES.get(status, "ok")})
        tail = encode({"position": position, "timestamp": self.now()})
        then = b"" if as_of is None else b'"as_of":' + as_of + b","
        body = b"".join((head[:-1], b',"data":', data, b",", then, tail[1:]))
        return Response(body, status, headers=dict(headers or {}), media_type=JSON)

    def refuse(self, path: str, problem: Problem) -> Response:
        """Return a problem: in the envelope under the API's prefix, plain elsewhere."""
        if not path.startswith(self._prefix):
            return as_problem_json(path, problem)
        members = problem.members()
        content = {
            "success": False,
            "code": problem.status,
            "message": problem.detail,
            "data": None,
            "position": None,
            "timestamp": self.now(),
            "error": members.pop("code"),
            **members,
        }
        headers = dict(problem.headers)
        return Response(encode(content), problem.status, headers=headers, media_type=JSON)
