"""The pages of the navigation: what there is, at the time that is looked at."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from fastapi import APIRouter, Response

from services.console.decide.decisions import calm, decision_rows
from services.console.decide.fleet import colours, fleet
from services.console.decide.lists import (
    alert_rows,
    environment_rows,
    instance_rows,
    strategy_rows,
)
from services.console.decide.queues import model_rows
from services.console.decide.spoken import moment
from services.console.routes.visiting import Visit, VisitHere

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import datetime

    from services.console.decide.when import Timebar

router = APIRouter()
PICTURES = 24  # queues that get a picture; one more read each
SAMPLES, KEPT = 200, 2000
ENDED = 50


@router.get("/")
async def dashboard(visit: VisitHere) -> Response:
    """Show the fleet, what waits, and what was decided."""
    bar, (nodes, models, queues, alerts, decisions, strategies) = await visit.together(
        visit.all("/deployments/status"),
        visit.all("/models"),
        visit.all("/queues"),
        visit.all("/alerts", open="true"),
        visit.read("/decisions", order="desc", limit=200),
        visit.all("/scheduling-strategies"),
    )
    of_model = colours(models)
    rows = await with_pictures(visit, bar, models, queues)
    return await visit.page(
        "dashboard.html",
        bar,
        title="Dashboard",
        fleet=fleet(nodes, of_model, bar.at),
        queues=sorted(rows, key=lambda row: (-row.wait_s, row.name)),
        waiting=sum(row.waiting for row in rows),
        below=[row for row in rows if row.state == "bad"],
        wanting=[row for row in rows if row.state == "warn"],
        alerts=alert_rows(alerts, bar.at),
        decisions=calm(decision_rows(decisions["items"], names(models), of_model, bar.at))[:8],
        active=sum(bool(each.get("active")) for each in strategies),
    )


@router.get("/environments")
async def environments(visit: VisitHere) -> Response:
    """Show environments."""
    bar, (found, models, nodes) = await visit.together(
        visit.all("/environments"), visit.all("/models"), visit.all("/nodes")
    )
    rows = environment_rows(found, models, nodes, bar.at)
    return await visit.page("environments.html", bar, title="Environments", rows=rows)


@router.get("/models")
async def models(visit: VisitHere) -> Response:
    """Show models, their queues and instances."""
    bar, (found, queues, environments_) = await visit.together(
        visit.all("/models"), visit.all("/queues"), visit.all("/environments")
    )
    rows = await with_pictures(visit, bar, found, queues)
    return await visit.page(
        "models.html", bar, title="Models", rows=rows, environments=names(environments_)
    )


@router.get("/nodes")
async def nodes(visit: VisitHere) -> Response:
    """Show nodes and what each GPU does."""
    bar, (found, deployed, models_, environments_) = await visit.together(
        visit.all("/nodes"),
        visit.all("/deployments/status"),
        visit.all("/models"),
        visit.all("/environments"),
    )
    map_ = fleet(deployed, colours(models_), bar.at)
    return await visit.page(
        "nodes.html",
        bar,
        title="Nodes",
        fleet=map_,
        of_node={str(each["id"]): each for each in found},
        environments=names(environments_),
    )


@router.get("/deployments")
async def deployments(visit: VisitHere, model: str = "", node: str = "") -> Response:
    """Show instances: those that run, and the last that ended."""
    narrow = {"model_id": model or None, "node_id": node or None}
    bar, (active, ended, models_, nodes_) = await visit.together(
        visit.all("/instances", active="true", **narrow),
        visit.read("/instances", active="false", limit=ENDED, **narrow),
        visit.all("/models"),
        visit.all("/nodes"),
    )
    of_model = colours(models_)
    found = [*active, *ended["items"]]
    rows = instance_rows(found, names(nodes_), of_model, bar.at)
    return await visit.page(
        "deployments.html",
        bar,
        title="Deployments",
        active=[row for row in rows if row.is_active],
        ended=[row for row in rows if not row.is_active],
        narrowed=names(models_).get(model) or names(nodes_).get(node) or "",
    )


@router.get("/scheduling")
async def scheduling(visit: VisitHere, model: str = "", before: str = "") -> Response:
    """Show strategies and what they decided, with every reason."""
    bar, (strategies, decisions, models_) = await visit.together(
        visit.all("/scheduling-strategies"),
        visit.read(
            "/decisions", order="desc", limit=40, model_id=model or None, cursor=before or None
        ),
        visit.all("/models"),
    )
    known = names(models_)
    return await visit.page(
        "scheduling.html",
        bar,
        title="Scheduling",
        strategies=strategy_rows(strategies, bar.at),
        decisions=decision_rows(decisions["items"], known, colours(models_), bar.at),
        earlier=decisions.get("next_cursor"),
        models=sorted(known.items(), key=lambda each: each[1]),
        model=model,
    )


@router.get("/alerts")
async def alerts(visit: VisitHere) -> Response:
    """Show what should wake somebody, what did, and where alerts are sent."""
    bar, (open_, found, hooks) = await visit.together(
        visit.all("/alerts", open="true"),
        visit.read("/alerts", open="false", limit=100),
        visit.all("/webhooks"),
    )
    return await visit.page(
        "alerts.html",
        bar,
        title="Alerts",
        open=alert_rows(open_, bar.at),
        over=alert_rows(found["items"], bar.at),
        webhooks=hooks,
    )


async def with_pictures(
    visit: Visit, bar: Timebar, models_: list[Any], queues: Iterable[Mapping[str, Any]]
) -> list[Any]:
    """Return lines of models, with a picture of the queue of those that wait most."""
    by_need = sorted(queues, key=lambda each: -float(each.get("mean_length_5m") or 0))
    ids = [str(each["model_id"]) for each in by_need[:PICTURES]]
    found = await asyncio.gather(*(samples(visit, id_) for id_ in ids))
    stretch = (bar.begin, bar.at)
    of_model = colours(models_)
    return model_rows(models_, by_need, dict(zip(ids, found, strict=True)), of_model, stretch)


async def samples(visit: Visit, model_id: str) -> list[Any]:
    """Return a queue's newest samples, as many as one read gives."""
    found = await visit.maybe(f"/queues/{model_id}/history", limit=SAMPLES)
    return list(found["items"]) if found else []


async def all_samples(visit: Visit, model_id: str, since: datetime) -> list[Any]:
    """Return a queue's samples since a moment, as far as they are kept."""
    found: list[Any] = []
    cursor: str | None = None
    while True:
        page = await visit.maybe(f"/queues/{model_id}/history", limit=SAMPLES, cursor=cursor)
        if not page or not page["items"]:
            return found
        found += page["items"]
        cursor, oldest = page.get("next_cursor"), moment(page["items"][-1]["sampled_at"])
        if cursor is None or oldest is None or oldest < since or len(found) >= KEPT:
            return found


def names(things: Iterable[Mapping[str, Any]]) -> dict[str, str]:
    """Return names by id."""
    return {str(each["id"]): str(each.get("name") or each["id"]) for each in things}
