"""Coming in and going out: a name and a password, or an API token."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

from fastapi import APIRouter, Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from services.chassis.errors import Unavailable
from services.console.routes.sessions import COOKIE, Session
from services.console.routes.visiting import UNAUTHORIZED, Answer, form_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from services.console.routes.visiting import House

router = APIRouter()
NOT_FOUND, TOO_MANY, THEIR_FAULT = 404, 429, 500


class NotLetInError(Exception):
    """Why nobody came in, as the login page says it; `field`: where the mistake is."""

    def __init__(self, why: str, status: int = UNAUTHORIZED, field: str = "") -> None:
        super().__init__(why)
        self.why, self.status, self.field = why, status, field


@router.get("/login")
async def login(request: Request) -> Response:
    """Show the login page."""
    return _form(request, request.query_params.get("next", ""))


@router.post("/login")
async def enter(request: Request) -> Response:
    """Exchange what was typed for a session, and go to where somebody wanted to go."""
    house: House = request.app.state.house
    form = await form_of(request)
    next_, username = form.get("next", ""), form.get("username", "").strip()
    try:
        session = await _session(request, await _tokens(request, form), username)
    except NotLetInError as refused:
        return _form(request, next_, username, refused)
    response = RedirectResponse(safe(next_), 303)
    house.sessions.keep(response, session, house.clock.now())
    return response


@router.post("/logout")
async def leave(request: Request) -> Response:
    """End the session here, and at the gateway if that can be asked."""
    house: House = request.app.state.house
    session = house.sessions.open(request.cookies.get(COOKIE), house.clock.now())
    response = RedirectResponse("/login", 303)
    house.sessions.forget(response)
    if session is not None and session.is_of_login:
        with suppress(Unavailable):  # whoever goes is gone here all the same
            await _end(request, session)
    return response


async def _end(request: Request, session: Session) -> None:
    """End a session at the gateway, which takes a fresh token only for that."""
    house: House = request.app.state.house
    if not session.needs_renewal(house.clock.now()):
        answer = await house.gateway.logout(house.calling(request, session.bearer))
        if answer.status != UNAUTHORIZED or session.refresh is None:
            return
    fresh = await house.renewals.renewed(session, request)
    await house.gateway.logout(house.calling(request, fresh.bearer))


async def _tokens(request: Request, form: Mapping[str, str]) -> dict[str, Any]:
    """Return the token that was typed, or those of a name and a password."""
    house: House = request.app.state.house
    token = form.get("token", "").strip()
    if token:
        if not (token.isascii() and token.isprintable()):
            why = "This token has characters that no token has: was all of it copied?"
            raise NotLetInError(why, field="token")
        return {"access_token": token}
    username, password = form.get("username", "").strip(), form.get("password", "")
    if not username or not password:
        raise NotLetInError("Type a user and a password, or an API token.")
    answer = await house.gateway.login(house.calling(request), username, password)
    if answer.status == NOT_FOUND:
        raise NotLetInError("This gateway has no accounts: use an API token.")
    return _let_in(answer, "The gateway does not know this user with this password.")


async def _session(request: Request, tokens: dict[str, Any], username: str) -> Session:
    """Return the session of a token; NotLetInError when the gateway does not know it."""
    house: House = request.app.state.house
    now_s, bearer = house.clock.now().timestamp(), str(tokens["access_token"])
    caller = house.calling(request, bearer)
    me = await house.gateway.me(caller)
    if me.status == NOT_FOUND:  # a gateway without accounts: the token is all there is
        me = await house.gateway.read(caller, "/status")
    said = _let_in(me, "The gateway does not know this token.")
    lasts = tokens.get("expires_in")
    session = Session(
        bearer=bearer,
        name=username or "API token",
        ends_at=now_s + house.sessions.lasts_s,
        refresh=tokens.get("refresh_token"),
        fresh_until=None if lasts is None else now_s + float(lasts),
    )
    return session.known_as(said if "permissions" in said else {})


def _let_in(answer: Answer, unknown: str) -> dict[str, Any]:
    """Return what a good answer says; of any other raises why, which may be the gateway's fault."""
    if answer.is_good:
        return dict(answer.data)
    if answer.status >= THEIR_FAULT:
        raise NotLetInError(f"The gateway cannot tell now: {answer.detail}", answer.status)
    if answer.status == TOO_MANY:
        raise NotLetInError(f"Too many attempts: {answer.detail}", answer.status)
    raise NotLetInError(unknown)


def safe(target: str) -> str:
    """Return where to go, if it is a page of ours; the dashboard otherwise."""
    is_ours = target.startswith("/") and not target.startswith(("//", "/\\", "/login", "/live"))
    return target if is_ours and target.isprintable() else "/"


def _form(
    request: Request, next_: str, username: str = "", refused: NotLetInError | None = None
) -> Response:
    house: House = request.app.state.house
    text = house.pages.render(
        "login.html", title="Log in", next=next_, username=username,
        problem=refused.why if refused else "", wrong=refused.field if refused else "",
    )  # fmt: skip
    return HTMLResponse(text, refused.status if refused else 200)
