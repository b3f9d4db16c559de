"""What routes about coming in have in common: accounts at work, forms, denials, pages."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal, Protocol, TypeVar
from urllib.parse import parse_qsl

import orjson
from fastapi import Query
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, StringConstraints, ValidationError
from starlette.exceptions import HTTPException

from services.gateway.decide.entering import Denied
from services.gateway.routes.access import CHALLENGE, FORBIDDEN, UNAUTHORIZED, who_asks

if TYPE_CHECKING:
    from collections.abc import Iterable

    from starlette.requests import Request

    from services.gateway.decide.asking import Answer, Asked
    from services.gateway.decide.entering import NewAccount, Opened, WantedKey
    from services.gateway.decide.principals import Principal
    from services.gateway.decide.verdicts import Command
    from services.gateway.state import Entity

FORM = "application/x-www-form-urlencoded"
TOO_MANY = 429
MAX_FIELDS = 20
# What is shown once is kept by nobody on the way.
UNKEPT = {"cache-control": "no-store"}
Limit = Annotated[int, Query(ge=1, le=200)]
Cursor = Annotated[Annotated[str, StringConstraints(max_length=128)] | None, Query()]

M = TypeVar("M", bound=BaseModel)


class Accounts(Protocol):
    """What lets people in, and carries out what concerns accounts and keys."""

    async def carry_out(self, command: Command, asked: Asked, secret: str | None = None) -> Answer:
        """Return a command's answer, once no gateway judges without knowing of it."""

    async def register(
        self, new: NewAccount, asker: Principal | None, asked: Asked, address: str
    ) -> Answer | Denied:
        """Register an account."""

    async def login(self, name: str, password: str, address: str) -> Opened | Denied:
        """Open a session."""

    async def refresh(self, shown: str) -> Opened | Denied:
        """Exchange a refresh token for a new one and a new access token."""

    async def logout(self, session_id: str) -> None:
        """End a session."""

    async def change_password(
        self, asker: Principal, passwords: tuple[str, str], asked: Asked, address: str
    ) -> Answer | Denied:
        """Replace who asks' password, given the current one."""

    async def set_password(self, account_id: str, password: str, asked: Asked) -> Answer:
        """Give an account another password."""

    async def create_key(
        self, wanted: WantedKey, asker: Principal, asked: Asked
    ) -> tuple[Answer, str | None] | Denied:
        """Make an API key."""

    async def all_of(self, kind: Literal["account", "key"]) -> dict[str, Entity]:
        """Return all accounts or keys by id, in the order of their ids."""


async def read(request: Request, model: type[M]) -> M:
    """Return a body that may come as a form or as JSON; raises RequestValidationError."""
    body = await request.body()
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    try:
        if media_type == FORM:
            text = body.decode("utf-8", "replace")
            sent: Any = dict(parse_qsl(text, keep_blank_values=True, max_num_fields=MAX_FIELDS))
        else:
            sent = orjson.loads(body or b"{}")
    except ValueError:
        sent = None
    try:
        return model.model_validate(sent)
    except ValidationError as error:
        found = error.errors(include_url=False, include_input=False, include_context=False)
        named = [{**each, "loc": ("body", *each["loc"])} for each in found]
        raise RequestValidationError(named) from None


def either(model: type[BaseModel]) -> dict[str, Any]:
    """Return how OpenAPI says that a body may come as a form or as JSON."""
    schema = model.model_json_schema()
    content = {FORM: {"schema": schema}, "application/json": {"schema": schema}}
    return {"requestBody": {"required": True, "content": content}}


def let(request: Request, came: Any) -> Any:
    """Return what came of it; raises the refusal when it was denied."""
    if not isinstance(came, Denied):
        return came
    if came.why == "too_often":
        raise HTTPException(TOO_MANY, came.detail, {"retry-after": str(came.retry_after_s)})
    if came.why == "wrong" or who_asks(request) is None:
        raise HTTPException(UNAUTHORIZED, came.detail, CHALLENGE)
    raise HTTPException(FORBIDDEN, came.detail)


def asker_of(request: Request) -> Principal:
    """Return who asks, on a route that strangers do not reach."""
    principal = who_asks(request)
    if principal is None:
        raise HTTPException(UNAUTHORIZED, "somebody must ask this", CHALLENGE)
    return principal


def page(items: Iterable[dict[str, Any]], limit: int, cursor: str | None) -> dict[str, Any]:
    """Return so many things of those after the cursor, which is the last one's id."""
    rest = [each for each in items if cursor is None or each["id"] > cursor]
    more = len(rest) > limit
    return {"items": rest[:limit], "next_cursor": rest[limit - 1]["id"] if more else None}
