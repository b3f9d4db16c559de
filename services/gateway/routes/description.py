"""The API's description: what a read may be asked, who may ask, what is refused, by example."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fastapi.openapi.utils import get_openapi

from contracts.roles import Permission
from services.gateway.routes.access import permission_of
from services.gateway.routes.examples import ANSWERS, AT, MADE, PARAMETERS, REQUESTS

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from fastapi import APIRouter, FastAPI

JSON, PROBLEM = "application/json", "application/problem+json"
METHODS = frozenset({"get", "post", "put", "patch", "delete"})
KNOCKS: dict[str, Any] = {
    "bearer": {"type": "http", "scheme": "bearer", "description": "An access token or API key."},
    "key": {"type": "apiKey", "in": "header", "name": "X-API-Key", "description": "An API key."},
}
SUCCESSES = ("204", "202", "201", "200")

_WHOLE = {"type": "integer", "minimum": 0, "maximum": 2**53}
_NAME = {"type": "string", "pattern": "^[A-Za-z0-9._:-]+$", "maxLength": 128}
_READ = {
    "min_position": (_WHOLE, "Wait until the read model has this position."),
    "as_of": (
        {"type": "string", "maxLength": 64, "pattern": r"^[0-9]+$|^\d{4}-\d\d-\d\d"},
        "As it was at a position of the log, or at a time in ISO 8601.",
    ),
}
_PAGE = {
    "limit": ({"type": "integer", "minimum": 1, "maximum": 200, "default": 50}, "Items at most."),
    "cursor": ({"type": "string", "maxLength": 1000}, "`next_cursor` of the page before."),
    **_READ,
}
_OF_ENVIRONMENT = {"environment_id": (_NAME, "Only of this environment.")}
_STATES = {"type": "string", "enum": ["free", "allocated", "quarantined", "offline"]}
_FORWARDED: dict[str, Mapping[str, tuple[Any, str]]] = {
    "/environments": _PAGE,
    "/environments/{environment_id}": _READ,
    "/environments/{environment_id}/models": _PAGE,
    "/environments/{environment_id}/nodes": _PAGE,
    "/models": {**_OF_ENVIRONMENT, **_PAGE},
    "/models/{model_id}": _READ,
    "/nodes": {**_OF_ENVIRONMENT, **_PAGE},
    **dict.fromkeys([f"/nodes/{{node_id}}{rest}" for rest in ("", "/status", "/models", "/gpus")],
                    _READ),
    "/queues": {**_OF_ENVIRONMENT, **_PAGE},
    "/queues/{model_id}": _READ,
    "/queues/{model_id}/history": _PAGE,
    "/deployments/status": {**_OF_ENVIRONMENT, **_PAGE},
    "/gpus": {
        "node_id": (_NAME, "Only on this node."),
        "state": (_STATES, "Only in this state."),
        **_OF_ENVIRONMENT,
        **_PAGE,
    },
    "/gpus/{uuid}": _READ,
    "/instances": {
        "model_id": (_NAME, "Only of this model."),
        "node_id": (_NAME, "Only on this node."),
        "active": ({"type": "boolean"}, "Only those that have not ended, or that have."),
        **_PAGE,
    },
    "/instances/{instance_id}": _READ,
    "/asks/{ask_id}": _READ,
    "/alerts": {"open": ({"type": "boolean"}, "Only those that are not over, or are."), **_PAGE},
    "/decisions": {
        "model_id": (_NAME, "Only about this model."),
        "after": (_WHOLE, "Only behind this position."),
        "order": ({"type": "string", "enum": ["asc", "desc"]}, "`desc`: the newest first."),
        **_PAGE,
    },
    "/events": _PAGE,
    "/status": _READ,
    "/scheduling-strategies": _PAGE,
    "/scheduling-strategies/{strategy_id}": _READ,
    "/webhooks": _PAGE,
    "/webhooks/{webhook_id}": _READ,
    "/webhooks/{webhook_id}/deliveries": {
        "message_id": (
            {"type": "string", "maxLength": 200},
            "Only the attempts to deliver this message.",
        ),
        **_PAGE,
    },
    "/alerts/{alert_id}": _READ,
    "/alerts/rules": {"min_position": _READ["min_position"]},
    "/alerts/rules/{rule}": {"min_position": _READ["min_position"]},
    "/alerts/silences": {"min_position": _READ["min_position"]},
    "/history/{kind}/{id_}": _PAGE,
    "/blame/{event}": _READ,
    "/explain/{kind}/{id_}": {"min_position": _READ["min_position"]},
}  # fmt: skip


def describe(
    app: FastAPI, prefix: str, within: Iterable[APIRouter], plain: Iterable[APIRouter]
) -> None:
    """Make the application answer with a whole description; `within`: routers under the prefix."""
    asks = {
        **{key: found for router in within for key, found in _permissions(router, prefix)},
        **{key: found for router in plain for key, found in _permissions(router, "")},
    }

    def whole() -> dict[str, Any]:
        if app.openapi_schema is None:
            document = get_openapi(title=app.title, version=app.version, routes=app.routes)
            document.setdefault("components", {})["securitySchemes"] = KNOCKS
            for path, operations in document["paths"].items():
                for method in operations.keys() & METHODS:
                    known = path.removeprefix(prefix) if path.startswith(f"{prefix}/") else path
                    is_enveloped = known != path
                    _describe(operations[method], method.upper(), known, is_enveloped=is_enveloped)
                    _protect(operations[method], asks[method.upper(), path])
            app.openapi_schema = document
        return app.openapi_schema

    app.openapi = whole  # type: ignore[method-assign]


def _permissions(router: APIRouter, prefix: str) -> Iterable[tuple[tuple[str, str], Permission]]:
    for route in router.routes:
        path = prefix + getattr(route, "path_format", "")
        for method in getattr(route, "methods", None) or ():
            yield (method, path), permission_of(route)


def _describe(operation: dict[str, Any], method: str, path: str, *, is_enveloped: bool) -> None:
    if method == "GET":
        _add_parameters(operation, _FORWARDED.get(path, {}))
    for parameter in operation.get("parameters", ()):
        if parameter["in"] == "path":
            parameter["example"] = PARAMETERS.get(parameter["name"])
    for content in operation.get("requestBody", {}).get("content", {}).values():
        content["example"] = REQUESTS.get(f"{method} {path}")
    _describe_answers(operation, method, path, is_enveloped=is_enveloped)


def _add_parameters(operation: dict[str, Any], more: Mapping[str, tuple[Any, str]]) -> None:
    known = operation.setdefault("parameters", [])
    names = {each["name"] for each in known}
    known += [
        {"name": name, "in": "query", "required": False, "schema": schema, "description": about}
        for name, (schema, about) in more.items()
        if name not in names
    ]


def _describe_answers(
    operation: dict[str, Any], method: str, path: str, *, is_enveloped: bool
) -> None:
    answers = operation["responses"]
    success = next(code for code in SUCCESSES if code in answers)
    if success in {"201", "202"} and is_enveloped:
        answers[success]["content"] = answers.pop("200")["content"]
    example = MADE.get(path, ANSWERS.get(path)) if method == "POST" else ANSWERS.get(path)
    if success != "204":
        content = answers[success].setdefault("content", {}).setdefault(JSON, {})
        content["example"] = _enveloped(int(success), example) if is_enveloped else example
    refusal = {"$ref": "#/components/schemas/ErrorEnvelope"} if is_enveloped else {"type": "object"}
    kind = JSON if is_enveloped else PROBLEM
    for code, about in (("4XX", "Refused; `errors` name the fields."), ("5XX", "Come again.")):
        answers[code] = {"description": about, "content": {kind: {"schema": refusal}}}
    answers.pop("422", None)
    if method == "GET" and path in _FORWARDED:
        answers["304"] = {"description": "Unchanged since the ETag in If-None-Match."}


def _enveloped(code: int, data: Any) -> dict[str, Any]:
    message = {200: "ok", 201: "created", 202: "accepted"}[code]
    around = {"success": True, "code": code, "message": message}
    return {**around, "data": data, "position": 1042, "timestamp": AT}


def _protect(operation: dict[str, Any], permission: Permission) -> None:
    operation["x-permission"] = permission.value
    if permission is not Permission.PUBLIC:
        operation["security"] = [{name: []} for name in KNOCKS]
