"""Routes that are asked the same again and again: what is kept of a request, and what never is."""

from dataclasses import dataclass, field
from typing import Annotated, Any

import httpx2
import pytest
from fastapi import APIRouter, Depends, FastAPI, Header, Query, Request
from opentelemetry.trace import NoOpTracer
from pydantic import AfterValidator, BaseModel, ConfigDict
from starlette.requests import HTTPConnection
from starlette.responses import JSONResponse

from services.chassis import repeating, tracing
from services.chassis.errors import NotFound
from services.chassis.http import install_problems
from services.chassis.repeating import Repeated


@dataclass
class Counted:
    """Routes, how often their parameters were checked, and who was asked for leave."""

    checked: list[int] = field(default_factory=list)
    leave: list[str] = field(default_factory=list)
    is_closed: bool = False
    app: FastAPI = field(default_factory=FastAPI)

    def check(self, value: int) -> int:
        self.checked.append(value)
        return value


def counted() -> Counted:
    made = Counted()
    number_seen = Annotated[int, AfterValidator(made.check)]

    class Page(BaseModel):
        model_config = ConfigDict(extra="forbid", frozen=True)
        limit: number_seen = 5

    async def leave(connection: HTTPConnection) -> None:
        made.leave.append(connection.url.path)
        if made.is_closed:
            raise NotFound("closed")

    async def app_of(connection: HTTPConnection) -> Any:
        return connection.app

    router = APIRouter(prefix="/things", route_class=Repeated, dependencies=[Depends(leave)])

    @router.get("/{number}")
    async def thing(
        number: int,
        request: Request,
        page: Annotated[Page, Query()],
        app: Annotated[Any, Depends(app_of)],
    ) -> JSONResponse:
        assert app is request.app
        return JSONResponse([number, page.limit, request.headers.get("x-who")])

    @router.get("/as/data")
    async def as_data(request: Request, limit: number_seen) -> list[int]:
        return [limit]

    @router.get("/by/header")
    async def by_header(
        request: Request, limit: number_seen, x_who: Annotated[str, Header()]
    ) -> str:
        return f"{x_who} {limit}"

    made.app.include_router(router)
    install_problems(made.app)
    return made


@pytest.fixture
async def client():
    made = counted()
    transport = httpx2.ASGITransport(made.app)
    async with httpx2.AsyncClient(transport=transport, base_url="http://here") as http:
        yield made, http


async def test_what_was_asked_is_checked_once_and_answered_each_time(client):
    made, http = client
    for who in ("a", "b"):
        answer = await http.get("/things/3?limit=7", headers={"x-who": who})
        assert answer.json() == [3, 7, who]
    assert made.checked == [7]
    assert (await http.get("/things/4?limit=7")).json() == [4, 7, None]
    assert (await http.get("/things/3?limit=8")).json() == [3, 8, None]


async def test_who_may_ask_is_asked_every_time(client):
    made, http = client
    await http.get("/things/3?limit=7")
    made.is_closed = True
    assert (await http.get("/things/3?limit=7")).status_code == 404
    assert made.leave == ["/things/3"] * 2


async def test_what_is_refused_is_refused_again(client):
    _, http = client
    for _ in range(2):
        answer = await http.get("/things/3?limit=many&colour=red")
        assert answer.status_code == 422
        assert {each["field"] for each in answer.json()["errors"]} == {"limit", "colour"}


async def test_a_route_that_looks_at_headers_is_an_ordinary_one(client):
    made, http = client
    for who in ("a", "b"):
        answer = await http.get("/things/by/header?limit=1", headers={"x-who": who})
        assert answer.json() == f"{who} 1"
    assert made.checked == [1, 1]


async def test_a_route_whose_answer_is_still_to_be_written_is_an_ordinary_one(client):
    made, http = client
    for _ in range(2):
        assert (await http.get("/things/as/data?limit=1")).json() == [1]
    assert made.checked == [1, 1]


async def test_while_spans_are_made_every_step_is_taken(client):
    made, http = client
    tracing.use(NoOpTracer())
    try:
        for _ in range(2):
            await http.get("/things/3?limit=7")
    finally:
        tracing.use(None)
    assert made.checked == [7, 7]


async def test_only_so_many_short_questions_are_kept(client, monkeypatch):
    made, http = client
    monkeypatch.setattr(repeating, "REMEMBERED", 2)
    for limit in (1, 2, 3, 1, 1):
        await http.get(f"/things/3?limit={limit}")
    assert made.checked == [1, 2, 3, 1]
    long = "0" * repeating.LONGEST + "9"
    for _ in range(2):
        assert (await http.get(f"/things/3?limit={long}")).json()[1] == 9
    assert made.checked[4:] == [9, 9]
