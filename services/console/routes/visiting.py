"""One request of somebody logged in: what they look at, when, and what the gateway says to it."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Annotated, Any, Protocol
from urllib.parse import parse_qsl, quote

from fastapi import Depends, Request
from starlette.exceptions import HTTPException
from starlette.responses import HTMLResponse, RedirectResponse, Response

from services.chassis.addresses import Proxies
from services.chassis.errors import Conflict, NotFound, QuartermasterError, Refused, Unavailable
from services.chassis.targets import AllowList
from services.console.decide.places import section_of
from services.console.decide.spoken import moment
from services.console.decide.when import Timebar, When, timebar
from services.console.routes.renewing import Renewals, keep
from services.console.routes.sessions import COOKIE, Session

if TYPE_CHECKING:
    from collections.abc import Awaitable, Mapping, Sequence
    from contextlib import AbstractAsyncContextManager
    from datetime import datetime

    from services.chassis.clock import Clock
    from services.console.routes.rendering import Pages
    from services.console.routes.sessions import Sessions

UNAUTHORIZED, FORBIDDEN, GONE_BEFORE = 401, 403, 422
A_PAGE, AT_MOST = 200, 2000
NARROWING = ("model", "node", "family", "telemetry")  # what stays when the time is changed
MOST_FIELDS, LONGEST_FIELD = 200, 100_000
_ERRORS: dict[int, type[QuartermasterError]] = {
    404: NotFound, 409: Conflict, 412: Conflict, 422: Refused, 429: Unavailable, 503: Unavailable,
}  # fmt: skip


class Answer(Protocol):
    """What the gateway says."""

    @property
    def status(self) -> int:
        """HTTP's."""

    @property
    def data(self) -> Any:
        """What it says, of a success."""

    @property
    def position(self) -> int | None:
        """The position it holds for."""

    @property
    def detail(self) -> str:
        """What was wrong."""

    @property
    def errors(self) -> Mapping[str, str]:
        """What was wrong, by field."""

    @property
    def is_good(self) -> bool:
        """Whether it was done or found."""


class Gateway(Protocol):
    """The gateway, asked in somebody's name."""

    async def read(
        self, caller: Any, path: str, parameters: Sequence[tuple[str, str]] = ()
    ) -> Answer:
        """Return what a read says."""

    async def command(
        self, caller: Any, method: str, path: str, body: Any = None, key: str | None = None
    ) -> Answer:
        """Return what a command came to."""

    async def login(self, caller: Any, username: str, password: str) -> Answer:
        """Exchange a name and a password for tokens."""

    async def refresh(self, caller: Any, token: str) -> Answer:
        """Exchange a refresh token for tokens."""

    async def logout(self, caller: Any) -> Answer:
        """End a session."""

    async def me(self, caller: Any) -> Answer:
        """Return who somebody is."""

    def live(
        self, caller: Any, after: int | None, types: Sequence[str]
    ) -> AbstractAsyncContextManager[Any]:
        """Open the log as it grows."""


class LoginNeededError(Exception):
    """Nobody is logged in, or not any more."""


@dataclass
class House:
    """Everything routes need."""

    gateway: Gateway
    pages: Pages
    sessions: Sessions
    clock: Clock
    caller: Any  # makes what the gateway is shown, of a bearer and an address
    project: str
    proxies: Proxies = field(default_factory=lambda: Proxies(AllowList(())))

    def __post_init__(self) -> None:
        self.renewals = Renewals(self)

    def calling(self, request: Request, bearer: str | None = None) -> Any:
        """Return in whose name the gateway is asked, and from where they ask."""
        return self.caller(bearer, self.proxies.told_on(request))


class Visit:
    """Reads at the time that is looked at, and answers with pages."""

    def __init__(self, request: Request, house: House, session: Session) -> None:
        self.request, self.house, self.session = request, house, session
        self.when = When.of(request.query_params)
        self.caller = house.calling(request, session.bearer)
        seen = request.query_params.get("min_position", "")
        self._seen = seen if seen.isdecimal() and len(seen) < 16 else ""  # noqa: PLR2004

    @property
    def is_part(self) -> bool:
        """Whether the page is there already and only what changed is wanted."""
        return self.request.headers.get("hx-request") == "true"

    def may(self, permission: str) -> bool:
        """Return whether somebody may do so, as far as it is known."""
        return permission in (self.session.permissions or ())

    async def read(self, path: str, **parameters: Any) -> Any:
        """Return the data of a read, at the time that is looked at; raises what went wrong."""
        return good(await self.ask(path, **parameters)).data

    async def maybe(self, path: str, **parameters: Any) -> Any:
        """Return the data of a read, None where there is nothing."""
        answer = await self.ask(path, **parameters)
        return None if answer.status in (404, 422) else good(answer).data

    async def ask(self, path: str, *, is_now: bool = False, **parameters: Any) -> Answer:
        """Return the answer to a read."""
        sent = [(name, str(each)) for name, each in parameters.items() if each is not None]
        if self.when.as_of and not is_now and "as_of" not in parameters:
            sent.append(("as_of", self.when.as_of))
        elif self._seen and not self.when.as_of and not path.startswith("/explain"):
            sent.append(("min_position", self._seen))
        return await self.house.gateway.read(self.caller, path, sent)

    async def all(self, path: str, **parameters: Any) -> list[Any]:
        """Return everything of a list, up to what a page can show."""
        found: list[Any] = []
        cursor: str | None = None
        while True:
            page = await self.read(path, limit=A_PAGE, cursor=cursor, **parameters)
            found += page["items"]
            cursor = page.get("next_cursor")
            if cursor is None or len(found) >= AT_MOST:
                return found

    async def now_only(self, path: str) -> list[Any]:
        """Return everything of a list that has no past to be read; nothing in the past."""
        return [] if self.when.as_of else await self.all(path)

    async def together(self, *reads: Awaitable[Any]) -> tuple[Timebar, list[Any]]:
        """Return the time bar and what these reads say, all asked at once."""
        bar, *found = await asyncio.gather(self.bar(), *reads)
        return bar, list(found)

    async def bar(self) -> Timebar:
        """Return the slider over the log."""
        now = self.house.clock.now()
        status, (past, first) = await asyncio.gather(
            self.ask("/status", is_now=True), self._stretch(now)
        )
        return timebar(self.when, int(good(status).data["head"]), now, first, past)

    async def _stretch(self, now: datetime) -> tuple[tuple[int, datetime, str] | None, int]:
        """Return the point that is looked at, and the position at which its stretch begins."""
        past = await self._past()
        end = past[1] if past else now
        begins = (end - timedelta(seconds=self.when.seconds)).isoformat()
        answer = await self.ask("/status", as_of=begins)
        return past, int(answer.data["head"]) if answer.is_good else 1

    async def page(self, template: str, bar: Timebar, **model: Any) -> Response:
        """Return a page, whole or what is inside of it."""
        path, done = self.request.url.path, self.request.query_params.get("done", "")
        text = self.house.pages.render(
            template, is_part=self.is_part, bar=bar, when=self.when, session=self.session,
            here=path, section=section_of(path), done=done, live_query="",
            narrowed_by=self._narrowed_by(), **model,
        )  # fmt: skip
        return HTMLResponse(text, headers={"vary": "hx-request"})

    def _narrowed_by(self) -> dict[str, str]:
        """Return what was asked for besides the time."""
        given = self.request.query_params
        return {name: given[name] for name in NARROWING if given.get(name)}

    async def _past(self) -> tuple[int, datetime, str] | None:
        """Return the position, moment and telemetry of the point that is looked at."""
        if not self.when.as_of:
            return None
        said = (await self.read("/environments", limit=1))["as_of"]
        at = moment(said["recorded_at"]) or self.house.clock.now()
        return int(said["position"]), at, str(said.get("telemetry") or "kept")


def good(answer: Answer) -> Answer:
    """Return a good answer; raises what any other means."""
    if answer.is_good:
        return answer
    if answer.status == UNAUTHORIZED:
        raise LoginNeededError
    if answer.status in _ERRORS:
        raise _ERRORS[answer.status](answer.detail)
    raise HTTPException(answer.status, answer.detail)


async def _visit(request: Request) -> Visit:
    house: House = request.app.state.house
    now = house.clock.now()
    session = house.sessions.open(request.cookies.get(COOKIE), now)
    if session is None:
        raise LoginNeededError
    if session.needs_renewal(now):
        renewed = await house.renewals.renewed(session, request)
        if renewed is not session:
            keep(request, renewed)
        session = renewed
    return Visit(request, house, session)


VisitHere = Annotated[Visit, Depends(_visit)]


async def form_of(request: Request) -> dict[str, str]:
    """Return the fields of a form that a page of ours sent; of several alike the last."""
    text = (await request.body()).decode("utf-8", "replace")
    try:
        fields = parse_qsl(text, keep_blank_values=True, max_num_fields=MOST_FIELDS)
    except ValueError:
        raise Refused(f"a form has at most {MOST_FIELDS} fields") from None
    return {name: value[:LONGEST_FIELD] for name, value in fields}


def to_login(request: Request) -> Response:
    """Return the way to the login page, and back to where somebody was."""
    wanted = request.url.path + (f"?{request.url.query}" if request.url.query else "")
    target = f"/login?next={quote(wanted, safe='/')}" if request.method == "GET" else "/login"
    if request.headers.get("hx-request") == "true":
        return Response(status_code=UNAUTHORIZED, headers={"hx-redirect": target})
    return RedirectResponse(target, 303)
