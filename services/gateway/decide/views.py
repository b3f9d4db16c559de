"""How a thing of the catalogue is shown after a command, in the field names people use."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from contracts.roles import GRANTABLE, allowed
from services.gateway.decide.models import QUEUE

if TYPE_CHECKING:
    from services.gateway.state import Entity, Kind

_HIDDEN = {"secret", "password", "queue", "average_inference_time_s"}


def view(kind: Kind, id_: str, entity: Entity) -> dict[str, Any]:
    """Return a thing's fields, its id as `id` and under its own name, and no secret."""
    if kind == "account":
        return {"id": id_, **_account_view(entity)}
    if kind == "key":
        return {"id": id_, **_key_view(entity)}
    shown = {name: value for name, value in entity.data.items() if name not in _HIDDEN}
    return {
        "id": id_,
        **shown,
        **(_queue_view(entity) if kind == "model" else {}),
        **({"has_secret": bool(entity.data.get("secret"))} if kind == "webhook" else {}),
        "created_at": entity.created_at,
        "updated_at": entity.updated_at,
        "version": entity.version,
    }


def _queue_view(entity: Entity) -> dict[str, Any]:
    queue = entity.data["queue"]
    return {
        **{name: queue[inner] for name, inner in QUEUE.items()},
        "has_rabbitmq_password": bool(queue.get("password")),
        "average_inference_time": entity.data["average_inference_time_s"],
    }


def _account_view(entity: Entity) -> dict[str, Any]:
    return {
        "username": entity.data["name"],
        "role": entity.data["role"],
        "created_at": entity.created_at,
        "updated_at": entity.updated_at,
        "version": entity.version,
    }


def _key_view(entity: Entity) -> dict[str, Any]:
    may = allowed(entity.data["role"], entity.data.get("permissions"))
    return {
        "name": entity.data["name"],
        "role": entity.data["role"],
        "permissions": [each for each in GRANTABLE if each in may],
        "expires_at": entity.data.get("expires_at"),
        "created_by": entity.data.get("created_by"),
        "created_at": entity.created_at,
    }
