"""/keys: API keys for programs; made by people, shown once, seen by who made them and by admins."""

from fastapi import APIRouter, Request, Response

from contracts.http.auth import NewKey
from contracts.types import Id
from services.chassis.errors import NotFound
from services.gateway.decide.api_keys import RevokeKey, is_for
from services.gateway.decide.entering import WantedKey
from services.gateway.decide.views import view
from services.gateway.routes.access import KNOWN
from services.gateway.routes.doors import AskedHere, Doors, DoorsHere
from services.gateway.routes.entrance import UNKEPT, Cursor, Limit, asker_of, let, page
from services.gateway.state import Entity

router = APIRouter(prefix="/keys", tags=["keys"])


@router.get("", dependencies=[KNOWN])
async def keys(
    request: Request, doors: DoorsHere, limit: Limit = 50, cursor: Cursor = None
) -> Response:
    """Return your API keys, page by page; an admin sees all."""
    found = await _seen(request, doors)
    shown = (view("key", id_, each) for id_, each in found.items())
    return doors.envelopes.around(page(shown, limit, cursor))


@router.post("", dependencies=[KNOWN], status_code=201)
async def create(new: NewKey, request: Request, asked: AskedHere, doors: DoorsHere) -> Response:
    """Make an API key that may do no more than you; it is in this answer and in no other."""
    wanted = WantedKey(new.name, new.role, new.permissions, new.expires_in_days)
    came = await doors.accounts.create_key(wanted, asker_of(request), asked)
    answer, made = let(request, came)
    response = doors.enveloped(answer, key=made)
    response.headers.update(UNKEPT)
    return response


@router.get("/{key_id}", dependencies=[KNOWN])
async def key(key_id: Id, request: Request, doors: DoorsHere) -> Response:
    """Return one API key, without what it is."""
    found = (await _seen(request, doors)).get(key_id)
    if found is None:
        raise NotFound(f"there is no key {key_id}")
    return doors.envelopes.around(view("key", key_id, found))


@router.delete("/{key_id}", dependencies=[KNOWN])
async def revoke(key_id: Id, request: Request, asked: AskedHere, doors: DoorsHere) -> Response:
    """Revoke an API key: from this answer on it opens nothing at any gateway."""
    found = (await doors.accounts.all_of("key")).get(key_id)
    if found is not None and not is_for(asker_of(request), key_id, found):
        raise NotFound(f"there is no key {key_id}")
    return doors.enveloped(await doors.accounts.carry_out(RevokeKey(key_id), asked))


async def _seen(request: Request, doors: Doors) -> dict[str, Entity]:
    asker, found = asker_of(request), await doors.accounts.all_of("key")
    return {id_: each for id_, each in found.items() if is_for(asker, id_, each)}
