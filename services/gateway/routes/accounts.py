"""/accounts: who may come in; listed, given roles and passwords, and closed by admins."""

from fastapi import APIRouter, Response

from contracts.http.auth import NewPassword, NewRole
from contracts.types import Id
from services.chassis.errors import NotFound
from services.gateway.decide.accounts import ChangeRole, CloseAccount
from services.gateway.decide.views import view
from services.gateway.routes.access import ADMIN
from services.gateway.routes.doors import AskedHere, DoorsHere
from services.gateway.routes.entrance import Cursor, Limit, page

router = APIRouter(prefix="/accounts", tags=["accounts"])


@router.get("", dependencies=[ADMIN])
async def accounts(doors: DoorsHere, limit: Limit = 50, cursor: Cursor = None) -> Response:
    """Return accounts, page by page, the oldest first."""
    found = await doors.accounts.all_of("account")
    shown = (view("account", id_, each) for id_, each in found.items())
    return doors.envelopes.around(page(shown, limit, cursor))


@router.get("/{account_id}", dependencies=[ADMIN])
async def account(account_id: Id, doors: DoorsHere) -> Response:
    """Return one account."""
    found = (await doors.accounts.all_of("account")).get(account_id)
    if found is None:
        raise NotFound(f"there is no account {account_id}")
    return doors.envelopes.around(view("account", account_id, found))


@router.put("/{account_id}/role", dependencies=[ADMIN])
async def change_role(account_id: Id, new: NewRole, asked: AskedHere, doors: DoorsHere) -> Response:
    """Give an account another role; keys it made that may do more are revoked with it."""
    command = ChangeRole(account_id, new.role)
    return doors.enveloped(await doors.accounts.carry_out(command, asked))


@router.put("/{account_id}/password", dependencies=[ADMIN])
async def change_password(
    account_id: Id, new: NewPassword, asked: AskedHere, doors: DoorsHere
) -> Response:
    """Give an account another password; it ends all of its sessions."""
    password = new.password.get_secret_value()
    return doors.enveloped(await doors.accounts.set_password(account_id, password, asked))


@router.delete("/{account_id}", dependencies=[ADMIN])
async def close(account_id: Id, asked: AskedHere, doors: DoorsHere) -> Response:
    """Close an account: its sessions and the keys it made open nothing any more."""
    return doors.enveloped(await doors.accounts.carry_out(CloseAccount(account_id), asked))
