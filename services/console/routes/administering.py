"""Pages of who may come in, and of who is told: accounts, API keys, alert rules, one webhook."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Path, Response

from services.console.decide.histories import stories
from services.console.decide.people import account_rows, key_rows
from services.console.decide.telling import delivery_rows, rule_rows
from services.console.routes.early import Early
from services.console.routes.pages import names
from services.console.routes.visiting import VisitHere

router = APIRouter(route_class=Early)
Id = Annotated[str, Path(max_length=128, pattern=r"^[A-Za-z0-9_-]+$")]
DELIVERIES, STORIES = 50, 25


@router.get("/accounts")
async def accounts(visit: VisitHere) -> Response:
    """Show who may come in; there is no past of it to be read, so it is always of now."""
    bar, (found, keys) = await visit.together(
        visit.all("/accounts", is_now=True), visit.all("/keys", is_now=True)
    )
    rows = account_rows(found, keys, visit.session.name, bar.now)
    return await visit.page("accounts.html", bar, title="Accounts", rows=rows)


@router.get("/keys")
async def keys(visit: VisitHere) -> Response:
    """Show API keys: one's own, and to an admin everybody's."""
    is_admin = visit.may("admin")
    bar, (found, people) = await visit.together(
        visit.all("/keys", is_now=True), visit.all("/accounts", is_now=True) if is_admin else none()
    )
    known = {str(each["id"]): str(each["username"]) for each in people}
    rows = key_rows(found, known, bar.now)
    return await visit.page("keys.html", bar, title="API keys", rows=rows, is_admin=is_admin)


@router.get("/rules")
async def rules(visit: VisitHere) -> Response:
    """Show what is worth an alert, with every limit."""
    bar, (found,) = await visit.together(visit.all("/alerts/rules", is_now=True))
    return await visit.page("rules.html", bar, title="Alert rules", rows=rule_rows(found))


@router.get("/webhooks/{id_}")
async def webhook(visit: VisitHere, id_: Id, before: str = "") -> Response:
    """Show a webhook, and every attempt to deliver something to it."""
    bar, (found, said, models, nodes, history) = await visit.together(
        visit.read(f"/webhooks/{id_}"),
        visit.read(f"/webhooks/{id_}/deliveries", limit=DELIVERIES, cursor=before or None),
        visit.all("/models"),
        visit.all("/nodes"),
        visit.maybe(f"/history/webhook/{id_}", limit=STORIES),
    )
    known, kind = {**names(models), **names(nodes)}, str(found.get("kind") or "standard")
    return await visit.page(
        "webhook.html",
        bar,
        title=str(found.get("url") or id_),
        id=id_,
        thing=found,
        kind=kind,
        rows=delivery_rows(said["items"], known, kind, bar.at),
        earlier=said.get("next_cursor"),
        stories=stories(history["items"] if history else (), known, bar.at),
    )


async def none() -> list[Any]:
    """Return nothing, where it is not asked for."""
    return []
