"""/webhooks: where alerts go besides; the signing secret is shown once, when it is made."""

import base64

from fastapi import APIRouter, Request, Response
from pydantic import SecretStr

from contracts.http.webhooks import PREFIX, NewWebhook, WebhookChanges
from contracts.types import WebhookId
from services.chassis.ids import token
from services.gateway.decide.asking import Asked
from services.gateway.decide.verdicts import Command
from services.gateway.decide.webhooks import ChangeWebhook, DeleteWebhook, RegisterWebhook
from services.gateway.routes import shapes
from services.gateway.routes.access import ADMIN, READ
from services.gateway.routes.doors import AskedHere, Doors, DoorsHere
from services.gateway.routes.reading import forward_shaped

router = APIRouter(prefix="/webhooks", tags=["webhooks"])


@router.get("", dependencies=[READ])
async def webhooks(request: Request, doors: DoorsHere) -> Response:
    """Return webhooks, page by page."""
    return await forward_shaped(request, doors, "/webhooks", shapes.webhook)


@router.post("", dependencies=[ADMIN], status_code=201)
async def register(new: NewWebhook, asked: AskedHere, doors: DoorsHere) -> Response:
    """Register a webhook; a secret that we make is in this answer and in no other."""
    return await _carry_out(doors, RegisterWebhook(new.url), asked, new.secret, makes_one=True)


@router.get("/{webhook_id}", dependencies=[READ])
async def webhook(webhook_id: WebhookId, request: Request, doors: DoorsHere) -> Response:
    """Return one webhook."""
    return await forward_shaped(request, doors, f"/webhooks/{webhook_id}", shapes.webhook)


@router.put("/{webhook_id}", dependencies=[ADMIN])
@router.patch("/{webhook_id}", dependencies=[ADMIN])
async def change(
    webhook_id: WebhookId, changes: WebhookChanges, asked: AskedHere, doors: DoorsHere
) -> Response:
    """Change the address, or replace the secret."""
    has_new = changes.secret is not None or changes.rotate_secret
    command = ChangeWebhook(webhook_id, changes.url or None, has_new)
    return await _carry_out(doors, command, asked, changes.secret, makes_one=has_new)


@router.delete("/{webhook_id}", dependencies=[ADMIN])
async def delete(webhook_id: WebhookId, asked: AskedHere, doors: DoorsHere) -> Response:
    """Delete a webhook."""
    return await doors.carry_out(DeleteWebhook(webhook_id), asked)


async def _carry_out(
    doors: Doors, command: Command, asked: Asked, sent: SecretStr | None, *, makes_one: bool
) -> Response:
    made = _new_secret() if sent is None and makes_one else None
    secret = sent.get_secret_value() if sent is not None else made
    answer = await doors.commands.execute(command, asked, secret)
    shown = {} if made is None or answer.repeated else {"secret": made}
    return doors.enveloped(answer, **shown)


def _new_secret() -> str:
    """Return 32 random bytes as Standard Webhooks write them."""
    chance = base64.urlsafe_b64decode(token(32) + "=")
    return PREFIX + base64.b64encode(chance).decode()
