"""/do: what a button does, asked first, then sent to the gateway as one command."""

from __future__ import annotations

import asyncio
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any
from urllib.parse import quote, urlencode

from fastapi import APIRouter, Path, Response
from starlette.responses import HTMLResponse, RedirectResponse

from services.chassis.errors import NotFound
from services.chassis.ids import token
from services.console.decide import forms
from services.console.decide.action import Action
from services.console.decide.actions import ACTIONS, FOLDERS, LISTS, NEW, fixed, flat, said
from services.console.decide.places import page_of
from services.console.decide.when import lengths
from services.console.routes.pages import names
from services.console.routes.visiting import (
    UNAUTHORIZED,
    Answer,
    LoginNeededError,
    Visit,
    VisitHere,
    form_of,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

router = APIRouter()


@dataclass(frozen=True)
class Asking:
    """A form as it is shown: what it does to what, what it holds, and what was wrong with it."""

    action: Action
    id: str
    thing: dict[str, Any]
    values: Mapping[str, Any]
    key: str
    errors: Mapping[str, str] = field(default_factory=dict)
    problem: str = ""


Id = Annotated[str, Path(max_length=256, pattern=r"^[^\x00-\x1f\x7f]+$")]
KEY = re.compile(r"[!-~]{1,200}")
LISTED = ("silence",)  # the API has no address for one of them
PLACES = {"rules": "/alerts/rules"}
LENGTHS = "lengths"


@router.get("/do/{code}/{id_:path}")
async def ask(visit: VisitHere, code: str, id_: Id) -> Response:
    """Ask whether it shall really be done, with what follows from it."""
    action = _action(code)
    thing = await _thing(visit, action, id_)
    values = flat(thing) if action.prefill else dict(visit.request.query_params)
    return await _asked(visit, Asking(action, id_, thing, values, token(16)))


@router.post("/do/{code}/{id_:path}")
async def do(visit: VisitHere, code: str, id_: Id) -> Response:
    """Do it; what the gateway refuses is shown beside the fields that it names."""
    action = _action(code)
    thing = await _thing(visit, action, id_)
    form = await form_of(visit.request)
    key = _key(form)
    held = flat(thing) if action.prefill else {}
    made, errors = forms.body(action.fields_for(thing), form, held)
    if errors:
        return await _asked(visit, Asking(action, id_, thing, form, key, errors))
    answer = await _sent(visit, action, thing, form, {**made, **fixed(action, thing)}, key)
    if answer.status == UNAUTHORIZED:
        raise LoginNeededError
    if not answer.is_good:
        # Another try is another command, unless nobody knows what came of this one.
        again = key if answer.status >= 500 else token(16)  # noqa: PLR2004
        shown = Asking(action, id_, thing, form, again, answer.errors, answer.detail)
        return await _asked(visit, shown)
    if action.also_stops and form.get("also_stop") == "on":
        answer = await _stop_all(visit, id_, answer)
    return _done(visit, action, id_, answer)


def _key(form: Mapping[str, str]) -> str:
    """Return the key that the form came with, a new one where that is none."""
    key = form.get("idempotency_key", "")
    return key if KEY.fullmatch(key) else token(16)


def _action(code: str) -> Action:
    if code not in ACTIONS:
        raise NotFound(f"nothing is called {code[:100]}")
    return ACTIONS[code]


async def _thing(visit: Visit, action: Action, id_: str) -> dict[str, Any]:
    """Return what it is done to, as it is now."""
    if action.is_new or id_ == NEW:
        return {}
    if action.kind in LISTED:
        found = [each for each in await visit.all(f"/{FOLDERS[action.kind]}") if each["id"] == id_]
        if not found:
            raise NotFound(f"there is no {action.kind} {id_}")
        return dict(found[0])
    path = f"/{FOLDERS[action.kind]}/{quote(id_, safe=':@')}"
    return {"id": id_, **(await visit.read(path))}


async def _sent(
    visit: Visit, action: Action, thing: Mapping[str, Any], form: Mapping[str, str],
    body: dict[str, Any], key: str,
) -> Answer:  # fmt: skip
    known = {**form, **thing}
    path = said(action.path, {name: quote(str(each), safe=":@") for name, each in known.items()})
    has_body = body or any(each.in_body for each in action.fields_for(thing))
    content = body if action.method != "DELETE" and has_body else None
    return await visit.house.gateway.command(visit.caller, action.method, path, content, key)


async def _stop_all(visit: Visit, node_id: str, before: Answer) -> Answer:
    """Stop whatever runs on a node; return the last answer, so that all of it is read."""
    running = await visit.all("/instances", node_id=node_id, active="true")
    path = f"/nodes/{quote(node_id, safe=':@')}/models/stop"
    answers = await asyncio.gather(
        *(
            visit.house.gateway.command(
                visit.caller, "POST", path, {"instance_id": each["instance_id"]}
            )
            for each in running
        )
    )
    return max((before, *answers), key=lambda each: each.position or 0)


def _done(visit: Visit, action: Action, id_: str, answer: Answer) -> Response:
    """Go to the page of what it was done to, which shows it as it is then."""
    data = answer.data if isinstance(answer.data, dict) else {}
    made = str(data.get("id") or "") if action.is_new else id_
    page = LISTS[action.kind] if action.ends or not made else page_of(action.kind, made)
    told = {"done": action.code}
    if answer.position is not None:
        told["min_position"] = str(answer.position)
    target = f"{page or LISTS[action.kind]}?{urlencode(told)}"
    secret = data.get("secret") or data.get("key")
    if secret:
        text = visit.house.pages.render(
            "secret.html", layout=_layout(visit), kind=action.kind, title=action.button,
            secret=secret, back=target,
        )  # fmt: skip
        return HTMLResponse(text)
    if visit.is_part:
        return Response(status_code=204, headers={"hx-redirect": target})
    return RedirectResponse(target, 303)


async def _asked(visit: Visit, asking: Asking) -> Response:
    action, errors, problem = asking.action, asking.errors, asking.problem
    options = await _options(visit, action, asking.values)
    fields = forms.filled(action.fields_for(asking.thing), asking.values, options, errors)
    at_a_field = any(each.error for each in fields if each.kind != "hidden")
    is_new = action.is_new or asking.id == NEW
    text = visit.house.pages.render(
        "ask.html",
        layout=_layout(visit),
        action=action,
        id=asking.id,
        fields=fields,
        title=said(action.title, asking.thing),
        follows=action.follows,
        key=asking.key,
        problem="" if at_a_field else problem or _others(errors),
        back=(None if is_new else page_of(action.kind, asking.id)) or LISTS[action.kind],
    )
    return HTMLResponse(text, 422 if errors or problem else 200)


async def _options(
    visit: Visit, action: Action, values: Mapping[str, Any]
) -> dict[str, list[tuple[str, str]]]:
    """Return what can be chosen in the fields of an action."""
    wanted = sorted({each.choices for each in action.fields if each.choices} - {LENGTHS})
    lists = await asyncio.gather(*(visit.all(PLACES.get(each, f"/{each}")) for each in wanted))
    found = {
        name: sorted(names(each).items(), key=lambda item: item[1])
        for name, each in zip(wanted, lists, strict=True)
    }
    chosen = str(values.get("until") or "")
    return {**found, LENGTHS: lengths(visit.house.clock.now(), chosen)}


def _others(errors: Mapping[str, str]) -> str:
    return "; ".join(f"{name}: {message}" for name, message in errors.items())


def _layout(visit: Visit) -> str:
    return "bare.html" if visit.is_part else "alone.html"
