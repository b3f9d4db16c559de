"""Routes that are asked the same again and again: what was asked is parsed and checked once."""

from __future__ import annotations

from collections import OrderedDict
from functools import wraps
from inspect import iscoroutinefunction
from typing import TYPE_CHECKING, Any

from fastapi.routing import APIRoute
from starlette.responses import Response

from services.chassis import tracing

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine

    from fastapi.dependencies.models import Dependant
    from starlette.requests import Request

REMEMBERED, LONGEST = 500, 500  # requests of one route; bytes of a query that is worth keeping


class Repeated(APIRoute):
    """A GET of which path and query say all: their checked values are kept, the newest of them.

    Only what led to an answer is kept, and only where that is a Response. The dependencies of the
    route and its router, such as who may ask, are asked every time; those that an inclusion of the
    router would add are not seen here. Any other route is an ordinary one, and so are all while
    spans are made, which show every step.
    """

    def __init__(self, path: str, endpoint: Callable[..., Any], **more: Any) -> None:
        self._checked: OrderedDict[tuple[str, bytes], dict[str, Any]] = OrderedDict()
        self._answer, self._is_plain = endpoint, False
        super().__init__(path, self._noting(endpoint), **more)

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Return what answers: without parsing and checking what is known to be good."""
        check = super().get_route_handler()
        self._is_plain = self.methods == {"GET"} and _is_plain(self.dependant)
        if not self._is_plain:
            return check
        asked = str(self.dependant.request_param_name)
        always = [(each.name, each.call) for each in self.dependant.dependencies]

        async def handle(request: Request) -> Response:
            given = self._checked.get(_key(request))
            if given is None or tracing.is_on():
                return await check(request)
            given = {**given, asked: request}
            for name, call in always:
                found = await call(request)  # type: ignore[misc]
                if name is not None:
                    given[name] = found
            answer: Response = await self._answer(**given)
            return answer

        return handle

    def _noting(self, endpoint: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
        """Return the endpoint, noting what it was given when it answered by itself."""

        @wraps(endpoint)
        async def noting(**given: Any) -> Any:
            answer = await endpoint(**given)
            if self._is_plain and isinstance(answer, Response):
                self._note(given)
            return answer

        return noting

    def _note(self, given: dict[str, Any]) -> None:
        asked = str(self.dependant.request_param_name)
        key = _key(given[asked])
        if len(key[1]) > LONGEST:
            return
        fresh = {asked, *(each.name for each in self.dependant.dependencies)}
        self._checked[key] = {name: each for name, each in given.items() if name not in fresh}
        if len(self._checked) > REMEMBERED:
            self._checked.popitem(last=False)


def _key(request: Request) -> tuple[str, bytes]:
    return request.scope["path"], request.scope["query_string"]


def _is_plain(asked: Dependant) -> bool:
    """Return whether path and query say all that an endpoint is given, but who asks and where."""
    return asked.request_param_name is not None and not (
        _wants_more(asked)
        or any(
            _wants_more(each)
            or each.path_params
            or each.query_params
            or each.dependencies
            or not _takes_a_connection(each)
            for each in asked.dependencies
        )
    )


def _wants_more(asked: Dependant) -> bool:
    return bool(
        asked.header_params
        or asked.cookie_params
        or asked.body_params
        or asked.response_param_name
        or asked.background_tasks_param_name
        or asked.security_scopes_param_name
    )


def _takes_a_connection(asked: Dependant) -> bool:
    call: Any = asked.call
    is_async = iscoroutinefunction(call) or iscoroutinefunction(getattr(call, "__call__", None))  # noqa: B004
    return is_async and asked.http_connection_param_name is not None
