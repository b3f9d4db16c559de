"""Errors as RFC 9457 problems: the class of the error is the status, and no stack trace leaves."""

from __future__ import annotations

from dataclasses import dataclass, field
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Protocol

import orjson
import structlog
from fastapi.exceptions import RequestValidationError
from opentelemetry import trace
from starlette.exceptions import HTTPException
from starlette.responses import Response

from services.chassis import ids
from services.chassis.errors import QuartermasterError, Unavailable

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from fastapi import FastAPI
    from starlette.requests import Request

log = structlog.get_logger(__name__)

RETRY_AFTER_S = 2
_OUR_FAULT = 500
_OUR_SIDE = "something went wrong on our side"


@dataclass(frozen=True, slots=True)
class Problem:
    """What went wrong, for people (`detail`) and programs (`code`, `errors`, `numbers`)."""

    status: int
    code: str
    detail: str
    instance: str
    trace_id: str
    errors: Sequence[Mapping[str, str]] = ()
    numbers: Mapping[str, Any] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def title(self) -> str:
        """Return the status in words."""
        return HTTPStatus(self.status).phrase

    def members(self) -> dict[str, Any]:
        """Return the problem's members as RFC 9457 names them, ours beside them."""
        return {
            "type": f"urn:quartermaster:problem:{self.code}",
            "title": self.title,
            "status": self.status,
            "detail": self.detail,
            "instance": self.instance,
            "code": self.code,
            "errors": list(self.errors),
            "trace_id": self.trace_id,
            **({"numbers": dict(self.numbers)} if self.numbers else {}),
        }


class Render(Protocol):
    """How a problem becomes an answer."""

    def __call__(self, path: str, problem: Problem) -> Response:
        """Return the answer to a request for this path."""


def as_problem_json(path: str, problem: Problem) -> Response:
    """Return a problem as RFC 9457 asks for it."""
    del path
    return Response(
        encode(problem.members()),
        problem.status,
        headers=dict(problem.headers),
        media_type="application/problem+json",
    )


def encode(content: Any) -> bytes:
    """Return JSON; text that is no text is made readable rather than refused."""
    try:
        return orjson.dumps(content, default=str, option=orjson.OPT_UTC_Z)
    except TypeError:
        return orjson.dumps(_readable(content), default=str)


def install_handlers(app: FastAPI, render: Render) -> None:
    """Answer our errors, refused input, unknown paths and our own faults as problems."""

    async def ours(request: Request, error: Exception) -> Response:
        problem = of_error(request.url.path, error)
        if problem.status == _OUR_FAULT:
            log.error("our fault", path=problem.instance, trace_id=problem.trace_id, exc_info=error)
        return render(problem.instance, problem)

    for kind in (QuartermasterError, RequestValidationError, HTTPException, Exception):
        app.add_exception_handler(kind, ours)


def of_error(path: str, error: Exception) -> Problem:
    """Return the problem that tells of an error; of a fault of ours it tells only the trace."""
    if isinstance(error, QuartermasterError):
        return _of_ours(path, error)
    if isinstance(error, RequestValidationError):
        return refusal(path, 422, "invalid", "the request is not valid", fields(error.errors()))
    if isinstance(error, HTTPException):
        code = HTTPStatus(error.status_code).phrase.lower().replace(" ", "_").replace("-", "_")
        headers = dict(error.headers or {})
        return Problem(error.status_code, code, error.detail, path, trace_id(), headers=headers)
    return Problem(_OUR_FAULT, "bug", _OUR_SIDE, path, trace_id())


def refusal(
    path: str, status: int, code: str, detail: str, errors: Sequence[Mapping[str, str]] = ()
) -> Problem:
    """Return a problem that the caller can mend."""
    if errors:
        detail = f"{detail}: {errors[0]['field']}: {errors[0]['message']}"
    return Problem(status, code, detail, path, trace_id(), errors)


def fields(errors: Iterable[Any]) -> list[dict[str, str]]:
    """Return which fields are wrong and why; never what was in them."""
    return [
        {"field": where(error["loc"]), "message": str(error["msg"])} for error in list(errors)[:50]
    ]


def where(location: Sequence[str | int]) -> str:
    """Return a location as a dotted path, without the part of the request it is in."""
    inner = location[1:] if len(location) > 1 else location
    return ".".join(str(part) for part in inner if part != "")


def trace_id() -> str:
    """Return the id that finds this request in traces and logs."""
    context = trace.get_current_span().get_span_context()
    return f"{context.trace_id:032x}" if context.is_valid else ids.uuid7().replace("-", "")


def _of_ours(path: str, error: QuartermasterError) -> Problem:
    """Tell all of what the caller can mend; `field` and `errors` among the numbers name fields."""
    if error.status >= _OUR_FAULT and not isinstance(error, Unavailable):
        return Problem(error.status, error.code, _OUR_SIDE, path, trace_id())
    numbers = dict(error.numbers)
    errors = [dict(each) for each in numbers.pop("errors", ())]
    if named := numbers.pop("field", None):
        errors.append({"field": str(named), "message": error.detail})
    headers = {"retry-after": str(RETRY_AFTER_S)} if isinstance(error, Unavailable) else {}
    known = {} if isinstance(error, Unavailable) else numbers
    return Problem(error.status, error.code, error.detail, path, trace_id(), errors, known, headers)


def _readable(content: Any) -> Any:
    if isinstance(content, str):
        return content.encode("utf-8", "replace").decode()
    if isinstance(content, dict):
        return {str(_readable(key)): _readable(value) for key, value in content.items()}
    if isinstance(content, list | tuple):
        return [_readable(value) for value in content]
    return content
