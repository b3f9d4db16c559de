"""/webhooks: where alerts go besides; the signing secret is shown once, when it is made."""

import base64

import orjson
from fastapi import APIRouter, Request, Response
from pydantic import SecretStr

from contracts.events.alert import WebhookKind
from contracts.http.webhooks import PREFIX, NewWebhook, SentMessage, WebhookChanges
from contracts.types import Name, WebhookId
from services.chassis.errors import NotFound
from services.chassis.ids import token
from services.chassis.repeating import Repeated
from services.gateway.decide.asking import Asked
from services.gateway.decide.verdicts import Command
from services.gateway.decide.webhooks import (
    ChangeWebhook,
    DeleteWebhook,
    RegisterWebhook,
    ResendMessage,
    TestWebhook,
)
from services.gateway.routes import shapes
from services.gateway.routes.access import ADMIN, OPERATE, READ
from services.gateway.routes.doors import AskedHere, Doors, DoorsHere
from services.gateway.routes.reading import (
    MIN_POSITION,
    forward,
    forward_shaped,
    least_position,
)

router = APIRouter(prefix="/webhooks", tags=["webhooks"], route_class=Repeated)


@router.get("", dependencies=[READ])
async def webhooks(request: Request, doors: DoorsHere) -> Response:
    """Return webhooks, page by page."""
    return await forward_shaped(request, doors, "/webhooks", shapes.webhook)


@router.post("", dependencies=[ADMIN], status_code=201)
async def register(new: NewWebhook, asked: AskedHere, doors: DoorsHere) -> Response:
    """Register a webhook; a secret that we make is in this answer and in no other."""
    doors.targets.webhooks.check(new.url)
    sent = new.secret or new.bearer_token
    is_signed = new.kind == "standard"
    command = RegisterWebhook(new.url, new.kind, has_secret=is_signed or sent is not None)
    return await _carry_out(doors, command, asked, sent, makes_one=is_signed)


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
    doors.targets.webhooks.check(changes.url)
    sent, makes_one = changes.secret or changes.bearer_token, changes.rotate_secret
    has_new = bool(sent or makes_one)
    command = ChangeWebhook(webhook_id, changes.url or None, has_new, *_meant(changes))
    return await _carry_out(doors, command, asked, sent, makes_one=makes_one)


@router.delete("/{webhook_id}", dependencies=[ADMIN])
async def delete(webhook_id: WebhookId, asked: AskedHere, doors: DoorsHere) -> Response:
    """Delete a webhook."""
    return await doors.carry_out(DeleteWebhook(webhook_id), asked)


@router.get("/{webhook_id}/deliveries", dependencies=[READ])
async def deliveries(webhook_id: WebhookId, request: Request, doors: DoorsHere) -> Response:
    """Return every attempt to deliver, the newest first; `message_id`: of one message."""
    return await forward(request, doors, f"/webhooks/{webhook_id}/deliveries")


@router.post(
    "/{webhook_id}/deliveries/{message_id}/resend", dependencies=[OPERATE], status_code=202
)
async def resend(
    webhook_id: WebhookId,
    message_id: Name,
    request: Request,
    asked: AskedHere,
    doors: DoorsHere,
) -> Response:
    """Send a message again as it was, with the same id, and from the first attempt on."""
    asked_for = [("message_id", message_id), ("limit", "1")]
    if (least := least_position(request, doors)) > 0:
        asked_for.append((MIN_POSITION, str(least)))
    read = await doors.reads.get(f"/webhooks/{webhook_id}/deliveries", asked_for, None)
    found = orjson.loads(read.body)["items"]
    if not found:
        raise NotFound(f"webhook {webhook_id} was never sent a message {message_id}")
    command = ResendMessage(webhook_id, SentMessage.model_validate(found[0]["message"]))
    return await doors.carry_out(command, asked)


@router.post("/{webhook_id}/test", dependencies=[OPERATE], status_code=202)
async def test(webhook_id: WebhookId, asked: AskedHere, doors: DoorsHere) -> Response:
    """Send a message that means nothing, once; its delivery says whether it arrived."""
    return await doors.carry_out(TestWebhook(webhook_id), asked)


def _meant(changes: WebhookChanges) -> tuple[WebhookKind | None, str]:
    """Return which kind of webhook these changes are for, None for any, and the field that says."""
    if changes.bearer_token is not None:
        return "alertmanager", "bearer_token"
    if changes.secret is not None:
        return "standard", "secret"
    return ("standard" if changes.rotate_secret else None), "rotate_secret"


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
