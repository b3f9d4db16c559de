"""/auth: coming in. Accounts registered, tokens given, renewed and ended; who asks, as we know it.

These answers are plain, as OAuth 2.0 (RFC 6749) and the first clients have them: no envelope.
"""

from fastapi import APIRouter, Request, Response

from contracts.http.auth import (
    AccountView,
    Credentials,
    Me,
    OwnPassword,
    RefreshToken,
    Registration,
    TokenAnswer,
)
from contracts.roles import GRANTABLE
from services.chassis.errors import Refused
from services.chassis.problems import encode
from services.gateway.decide.asking import Answer
from services.gateway.decide.entering import NewAccount, Opened
from services.gateway.routes.access import KNOWN, PUBLIC, who_asks
from services.gateway.routes.answers import JSON
from services.gateway.routes.doors import AskedHere, DoorsHere
from services.gateway.routes.entrance import FORM, UNKEPT, asker_of, either, let, read

FORMS = {"/auth/jwt/login": (FORM,), "/auth/jwt/refresh": (FORM,)}
router = APIRouter(prefix="/auth", tags=["auth"])


@router.post("/register", dependencies=[PUBLIC], status_code=201, response_model=AccountView)
async def register(
    new: Registration, request: Request, asked: AskedHere, doors: DoorsHere
) -> Response:
    """Register an account: an admin any, a stranger a viewer where registration is open.

    The first account that the installation's own token registers is an admin.
    """
    wanted = NewAccount(new.username, new.password.get_secret_value(), new.role)
    address = doors.proxies.address(request)
    came = await doors.accounts.register(wanted, who_asks(request), asked, address)
    return _told(let(request, came))


@router.post(
    "/jwt/login",
    dependencies=[PUBLIC],
    response_model=TokenAnswer,
    openapi_extra=either(Credentials),
)
async def login(request: Request, doors: DoorsHere) -> Response:
    """Exchange a username and a password for an access token."""
    sent = await read(request, Credentials)
    address = doors.proxies.address(request)
    came = await doors.accounts.login(sent.username, sent.password.get_secret_value(), address)
    return _tokens(let(request, came))


@router.post(
    "/jwt/refresh",
    dependencies=[PUBLIC],
    response_model=TokenAnswer,
    openapi_extra=either(RefreshToken),
)
async def refresh(request: Request, doors: DoorsHere) -> Response:
    """Exchange a refresh token, once, for a new access token and a new refresh token."""
    sent = await read(request, RefreshToken)
    came = await doors.accounts.refresh(sent.refresh_token.get_secret_value())
    return _tokens(let(request, came))


@router.post("/jwt/logout", dependencies=[KNOWN], status_code=204)
async def logout(request: Request, doors: DoorsHere) -> Response:
    """End the session that the token sent belongs to, with all of its tokens."""
    session = asker_of(request).session
    if session is None:
        raise Refused("only the token of a login has a session to end")
    await doors.accounts.logout(session)
    return Response(status_code=204)


@router.get("/me", dependencies=[KNOWN], response_model=Me)
async def me(request: Request) -> Response:
    """Return who asks and what they may do."""
    asker = asker_of(request)
    known = Me(
        kind=asker.kind,
        id=asker.id,
        username=asker.name,
        role=asker.role,
        permissions=tuple(each for each in GRANTABLE if asker.may(each)),
        expires_at=asker.expires_at,
    )
    return Response(encode(known.model_dump()), media_type=JSON, headers=UNKEPT)


@router.post("/password", dependencies=[KNOWN], response_model=AccountView)
async def change_password(
    sent: OwnPassword, request: Request, asked: AskedHere, doors: DoorsHere
) -> Response:
    """Replace your own password, given the current one; it ends all of your sessions."""
    passwords = (sent.current_password.get_secret_value(), sent.password.get_secret_value())
    address = doors.proxies.address(request)
    came = await doors.accounts.change_password(asker_of(request), passwords, asked, address)
    return _told(let(request, came))


def _told(answer: Answer) -> Response:
    headers = {} if answer.position is None else {"qm-position": str(answer.position)}
    if answer.repeated:
        headers["idempotency-replayed"] = "true"
    return Response(encode(dict(answer.data)), answer.status, headers=headers, media_type=JSON)


def _tokens(opened: Opened) -> Response:
    given = TokenAnswer(
        access_token=opened.access, expires_in=opened.lasts_s, refresh_token=opened.refresh
    )
    return Response(encode(given.model_dump()), media_type=JSON, headers=UNKEPT)
