"""The pages of the navigation: what there is, at the time that is looked at."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from fastapi import APIRouter, Response

from services.console.decide.decisions import calm_rows, decision_rows
from services.console.decide.fleet import colours, fleet
from services.console.decide.lists import (
    alert_rows,
    environment_rows,
    instance_rows,
    strategy_rows,
)
from services.console.decide.queues import by_need, model_rows
from services.console.decide.spoken import moment
from services.console.decide.telling import silence_rows
from services.console.routes.early import Early
from services.console.routes.visiting import Visit, VisitHere

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import datetime

    from services.console.decide.queues import ModelRow
    from services.console.decide.when import Timebar

router = APIRouter(route_class=Early)
QUEUES, DECISIONS = 12, 8  # on the dashboard
PICTURES = 24  # queues that get a picture; one more read each
SAMPLES, KEPT = 200, 2000
ENDED = 50


@router.get("/")
async def dashboard(visit: VisitHere) -> Response:
    """Show the fleet, what waits, and what was decided."""
    bar, (nodes, drawn, alerts, decisions, strategies) = await visit.together(
        visit.all("/deployments/status"),
        sampled(visit, QUEUES),
        visit.all("/alerts", open="true"),
        visit.read("/decisions", order="desc", limit=200),
        visit.all("/scheduling-strategies"),
    )
    models = drawn.models
    of_model = colours(models)
    rows = drawn.rows(bar)
    return await visit.page(
        "dashboard.html",
        bar,
        title="Dashboard",
        fleet=fleet(nodes, of_model, bar.at),
        queues=by_need(rows),
        shown=QUEUES,
        waiting=sum(row.waiting for row in rows),
        below=[row for row in rows if row.state == "bad"],
        wanting=[row for row in rows if row.state == "warn"],
        alerts=alert_rows(alerts, bar.at),
        decisions=calm_rows(decisions["items"], names(models), of_model, bar.at, DECISIONS),
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
    bar, (drawn, environments_) = await visit.together(
        sampled(visit, PICTURES), visit.all("/environments")
    )
    return await visit.page(
        "models.html", bar, title="Models", rows=drawn.rows(bar), environments=names(environments_)
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
    bar, (open_, found, hooks, silences, models_, nodes_) = await visit.together(
        visit.all("/alerts", open="true"),
        visit.read("/alerts", open="false", limit=100),
        visit.all("/webhooks"),
        visit.now_only("/alerts/silences"),
        visit.all("/models"),
        visit.all("/nodes"),
    )
    known = {**names(models_), **names(nodes_)}
    return await visit.page(
        "alerts.html",
        bar,
        title="Alerts",
        open=alert_rows(open_, bar.at),
        over=alert_rows(found["items"], bar.at),
        webhooks=hooks,
        addresses={str(each["id"]): str(each["url"]) for each in hooks},
        silences=silence_rows(silences, known, bar.at),
    )


@dataclass(frozen=True)
class Sampled:
    """Models, their queues, and the samples of those that wait most."""

    models: list[Any]
    queues: list[Any]
    samples: Mapping[str, list[Any]]

    def rows(self, bar: Timebar) -> list[ModelRow]:
        """Return lines of models, with pictures of the stretch that is looked at."""
        of_model = colours(self.models)
        return model_rows(self.models, self.queues, self.samples, of_model, (bar.begin, bar.at))


async def sampled(visit: Visit, pictures: int) -> Sampled:
    """Return models and queues, with samples of so many of them; nothing else waits for these."""
    models_, queues = await asyncio.gather(visit.all("/models"), visit.all("/queues"))
    now = visit.house.clock.now()
    rows = by_need(model_rows(models_, queues, {}, {}, (now, now)))
    ids = [row.id for row in rows[:pictures]]
    found = await asyncio.gather(*(samples(visit, id_) for id_ in ids))
    return Sampled(models_, queues, dict(zip(ids, found, strict=True)))


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
    """Return names by id; what has no name is called by its id."""
    found = ((str(each.get("id") or each.get("rule")), each.get("name")) for each in things)
    return {id_: str(name or id_) for id_, name in found}
