"""Coming in and going out: a name and a password, or an API token."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fastapi import APIRouter, Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from services.console.decide.forms import Field
from services.console.routes.sessions import COOKIE, Session
from services.console.routes.visiting import form_of

if TYPE_CHECKING:
    from services.console.routes.visiting import House

router = APIRouter()
NOT_FOUND, TOO_MANY = 404, 429
FIELDS = (Field("username", "User"), Field("password", "Password", "password"))


@router.get("/login")
async def login(request: Request) -> Response:
    """Show the login page."""
    return _form(request, request.query_params.get("next", ""))


@router.post("/login")
async def enter(request: Request) -> Response:
    """Exchange what was typed for a session, and go to where somebody wanted to go."""
    house: House = request.app.state.house
    form = await form_of(request)
    address = request.client.host if request.client else None
    next_ = form.get("next", "")
    token, username = form.get("token", "").strip(), form.get("username", "").strip()
    tokens: dict[str, Any] = {"access_token": token}
    if not token:
        if not username or not form.get("password"):
            return _form(request, next_, "Type a user and a password, or an API token.", username)
        caller = house.caller(None, address)
        answer = await house.gateway.login(caller, username, form["password"])
        if not answer.is_good:
            return _form(request, next_, _refused(answer), username)
        tokens = answer.data
    session = await _session(house, tokens, username, address)
    if session is None:
        return _form(request, next_, "The gateway does not know this token.", username)
    response = RedirectResponse(safe(next_), 303)
    house.sessions.keep(response, session, house.clock.now())
    return response


@router.post("/logout")
async def leave(request: Request) -> Response:
    """End the session here and at the gateway."""
    house: House = request.app.state.house
    session = house.sessions.open(request.cookies.get(COOKIE), house.clock.now())
    if session is not None and session.refresh is not None:
        address = request.client.host if request.client else None
        await house.gateway.logout(house.caller(session.bearer, address))
    response = RedirectResponse("/login", 303)
    house.sessions.forget(response)
    return response


async def _session(
    house: House, tokens: dict[str, Any], username: str, address: str | None
) -> Session | None:
    """Return the session of a token, None when the gateway does not know it."""
    now = house.clock.now()
    bearer = str(tokens["access_token"])
    caller = house.caller(bearer, address)
    me = await house.gateway.me(caller)
    if me.status == NOT_FOUND:  # a gateway without accounts: the token is all there is
        me = await house.gateway.read(caller, "/status")
    if not me.is_good:
        return None
    known = me.data if "permissions" in me.data else {}
    lasts = tokens.get("expires_in")
    permissions = known.get("permissions")
    return Session(
        bearer=bearer,
        name=str(known.get("username") or username or "API token"),
        ends_at=now.timestamp() + house.sessions.lasts_s,
        refresh=tokens.get("refresh_token"),
        fresh_until=None if lasts is None else now.timestamp() + float(lasts),
        role=str(known.get("role") or ""),
        permissions=None if permissions is None else tuple(permissions),
    )


def safe(target: str) -> str:
    """Return where to go, if it is a page of ours; the dashboard otherwise."""
    is_ours = target.startswith("/") and not target.startswith(("//", "/\\", "/login", "/live"))
    return target if is_ours and target.isprintable() else "/"


def _refused(answer: Any) -> str:
    if answer.status == NOT_FOUND:
        return "This gateway has no accounts: use an API token."
    if answer.status == TOO_MANY:
        return f"Too many attempts: {answer.detail}"
    return "The gateway does not know this user with this password."


def _form(request: Request, next_: str, problem: str = "", username: str = "") -> Response:
    house: House = request.app.state.house
    text = house.pages.render(
        "login.html", title="Log in", next=next_, problem=problem, username=username
    )
    return HTMLResponse(text, 401 if problem else 200)
