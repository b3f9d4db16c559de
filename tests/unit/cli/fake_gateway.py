"""A gateway in memory behind an HTTP transport: lists, things, commands, and who asked what."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import httpx2
import orjson
from click.testing import Result
from typer.testing import CliRunner

from services.chassis.errors import QuartermasterError
from services.cli import service
from services.cli.adapters.entry import Entry
from services.cli.adapters.gateway import Gateway
from services.cli.adapters.keeping import Logins

URL, TOKEN = "http://gateway:8000", "a-token"
AT = "2026-05-04T12:00:00.000000Z"
PLACES = {
    "environments": "env", "models": "mdl", "nodes": "nod", "scheduling-strategies": "str",
    "webhooks": "whk",
}  # fmt: skip
PAGE = 2
HEAD, LAG = 43, 2


@dataclass
class FakeGateway:
    """Keeps what is posted; `answers` are told as they stand."""

    things: dict[str, dict[str, dict[str, Any]]] = field(
        default_factory=lambda: {place: {} for place in PLACES}
    )
    answers: dict[str, Any] = field(default_factory=dict)
    asked: list[httpx2.Request] = field(default_factory=list)
    token: str = TOKEN

    def __call__(self, request: httpx2.Request) -> httpx2.Response:
        self.asked.append(request)
        if request.headers.get("authorization") != f"Bearer {self.token}":
            return refused(401, "send an access token")
        path = request.url.path.removeprefix("/api/v1")
        place = f"{request.method} {path}"
        if (told := self.answers.get(place, self.answers.get(path))) is not None:
            answer = told(request) if callable(told) else told
            return answer if isinstance(answer, httpx2.Response) else enveloped(answer)
        if path == "/status":
            return enveloped({"head": HEAD, "lag": LAG})
        parts = path.strip("/").split("/")
        if parts[0] not in self.things:
            return refused(404, "there is no such thing")
        return self._of(request, parts[0], *parts[1:])

    def _of(self, request: httpx2.Request, place: str, id_: str = "", verb: str = "") -> Any:
        things = self.things[place]
        if not id_ and request.method == "GET":
            return enveloped(self._page(list(things.values()), dict(request.url.params)))
        if not id_:
            return enveloped(self.made(place, **orjson.loads(request.content)))
        if id_ not in things:
            return refused(404, f"there is no {id_}")
        if verb:
            things[id_]["active"] = verb == "activate"
        elif request.method == "PATCH":
            self._change(things[id_], orjson.loads(request.content))
        elif request.method == "DELETE":
            del things[id_]
            return enveloped({"id": id_, "deleted": True})
        return enveloped(things[id_])

    def _page(self, items: list[dict[str, Any]], asked: dict[str, str]) -> dict[str, Any]:
        narrow = {k: v for k, v in asked.items() if k not in ("limit", "cursor", "as_of")}
        items = [each for each in items if all(str(each.get(k)) == v for k, v in narrow.items())]
        begin = int(asked.get("cursor", 0))
        more = begin + PAGE < len(items)
        return {
            "items": items[begin : begin + PAGE],
            "next_cursor": str(begin + PAGE) if more else None,
        }

    @staticmethod
    def _change(thing: dict[str, Any], sent: dict[str, Any]) -> None:
        if "rabbitmq_password" in sent:
            thing["has_rabbitmq_password"] = sent.pop("rabbitmq_password") is not None
        parameters = {**thing.get("parameters", {}), **sent.pop("parameters", {})}
        thing.update(sent)
        if "parameters" in thing:
            thing["parameters"] = {k: v for k, v in parameters.items() if v is not None}

    def made(self, place: str, **sent: Any) -> dict[str, Any]:
        """Make a thing; its secrets are kept from sight."""
        id_ = f"{PLACES[place]}-{len(self.things[place]) + 1}"
        thing = {"id": id_, **sent, "created_at": AT}
        if place == "models":
            thing["has_rabbitmq_password"] = thing.pop("rabbitmq_password", None) is not None
        self.things[place][id_] = thing
        if place == "webhooks":
            thing["has_secret"] = True
            shown = {} if thing.pop("secret", None) else {"secret": "whsec_made"}
            return {**thing, **shown}
        return thing

    def commands(self) -> list[tuple[str, str, Any]]:
        """Return what was not a read: method, path, body."""
        return [
            (
                each.method,
                each.url.path.removeprefix("/api/v1"),
                orjson.loads(each.content or b"null"),
            )
            for each in self.asked
            if each.method != "GET"
        ]


def enveloped(data: Any) -> httpx2.Response:
    return httpx2.Response(200, json={"success": True, "data": data, "position": 7})


def refused(status: int, detail: str, **more: Any) -> httpx2.Response:
    return httpx2.Response(status, json={"success": False, "message": detail, "data": None, **more})


def run(
    fake: Callable[[httpx2.Request], httpx2.Response],
    *arguments: str,
    place: Any,
    typed: str | None = None,
    environment: dict[str, str] | None = None,
    **door: Any,
) -> Result:
    """Run the command as a person would, up to its exit code; nobody is at a terminal."""
    transport = httpx2.MockTransport(fake)
    given = {"url": URL, "token": TOKEN, **door}

    def entry(
        url: str | None = None, context: str | None = None, token: str | None = None
    ) -> Entry:
        return Entry(
            Logins(place),
            url=url or given["url"],
            token=token or given["token"],
            context=context or given.get("context"),
            transport=transport,
        )

    def behind(door: Entry) -> Gateway:
        return Gateway(door, transport=transport)

    app = service.application(entry, behind)
    result = CliRunner().invoke(app, list(arguments), input=typed, env=environment)
    if isinstance(result.exception, QuartermasterError):
        result.exit_code = service.code(result.exception)
        result.stderr_bytes += result.exception.detail.encode()
    return result
