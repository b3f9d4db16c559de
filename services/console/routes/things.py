"""The page of one thing: what it is, why it is so, what would change that, and what happened."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any
from urllib.parse import quote

from fastapi import APIRouter, Path, Response
from starlette.responses import JSONResponse

from services.console.decide.explained import explained
from services.console.decide.fleet import cell, colours
from services.console.decide.histories import stories
from services.console.decide.lists import alert_rows, environment_rows, instance_rows, strategy_rows
from services.console.decide.queues import chart, model_rows, model_state
from services.console.routes.early import Early
from services.console.routes.pages import all_samples, names
from services.console.routes.visiting import Visit, VisitHere

if TYPE_CHECKING:
    from services.console.decide.when import Timebar

router = APIRouter(route_class=Early)
Id = Annotated[str, Path(max_length=256, pattern=r"^[^\x00-\x1f\x7f]+$")]
STORIES, SHOWN = 100, 25  # a story that wavers takes many events of a page


@router.get("/models/{id_}")
async def model(visit: VisitHere, id_: Id) -> Response:
    """Show a model: why it has what it has, its queue, its instances."""
    bar, (found, queue, instances, models, nodes, history, why) = await visit.together(
        visit.read(f"/models/{_in(id_)}"),
        visit.maybe(f"/queues/{_in(id_)}"),
        visit.read("/instances", model_id=id_, active="true", limit=100),
        visit.all("/models"),
        visit.all("/nodes"),
        _history(visit, "model", id_),
        _explained(visit, "model", id_),
    )
    of_model = colours(models)
    row = model_rows([found], [queue] if queue else [], {}, of_model, (bar.begin, bar.at))[0]
    return await _page(
        visit, bar, "model", id_, found, why=why, history=history,
        known={**names(models), **names(nodes)},
        row=row,
        state=model_state(found),
        queue=queue,
        instances=instance_rows(instances["items"], names(nodes), of_model, bar.at),
    )  # fmt: skip


@router.get("/models/{id_}/queue.json")
async def queue(visit: VisitHere, id_: Id) -> Response:
    """Return the samples that the large chart draws."""
    bar = await visit.bar()
    drawn = chart(await all_samples(visit, _in(id_), bar.begin))
    stretch = {"begin": bar.begin.timestamp(), "end": bar.at.timestamp()}
    return JSONResponse({**drawn, **stretch})


@router.get("/nodes/{id_}")
async def node(visit: VisitHere, id_: Id) -> Response:
    """Show a node: its GPUs, what runs on each, and whether its agent answers."""
    bar, (found, gpus, instances, models, history, why) = await visit.together(
        visit.read(f"/nodes/{_in(id_)}"),
        visit.all("/gpus", node_id=id_),
        visit.read("/instances", node_id=id_, active="true", limit=200),
        visit.all("/models"),
        _history(visit, "node", id_),
        _explained(visit, "node", id_),
    )
    of_model = colours(models)
    by_id = {each["instance_id"]: each for each in instances["items"]}
    cells = [
        cell({**each, "instance": by_id.get(each.get("instance_id"))}, found, of_model, bar.at)
        for each in sorted(gpus, key=lambda each: each.get("index") or 0)
    ]
    return await _page(
        visit, bar, "node", id_, found, why=why, history=history,
        known={**names(models), id_: str(found.get("name") or id_)},
        cells=cells,
        instances=instance_rows(
            instances["items"], {id_: found.get("name") or id_}, of_model, bar.at
        ),
    )  # fmt: skip


@router.get("/gpus/{id_}")
async def gpu(visit: VisitHere, id_: Id) -> Response:
    """Show a GPU: who has it, why, and who had it."""
    bar, (found, models, history, why) = await visit.together(
        visit.read(f"/gpus/{_in(id_)}"),
        visit.all("/models"),
        _history(visit, "gpu", id_),
        _explained(visit, "gpu", id_),
    )
    holder = found.get("instance_id")
    held = await visit.maybe(f"/instances/{holder}") if holder else None
    on = await visit.maybe(f"/nodes/{found.get('node_id')}") or {}
    return await _page(
        visit, bar, "gpu", id_, {"name": f"GPU {found.get('index')}", **found}, why=why,
        history=history, cell=cell({**found, "instance": held}, on, colours(models), bar.at), on=on,
    )  # fmt: skip


@router.get("/instances/{id_}")
async def instance(visit: VisitHere, id_: Id) -> Response:
    """Show an instance: why it was started where it is, and how it ended."""
    bar, (found, models, nodes, history, why) = await visit.together(
        visit.read(f"/instances/{_in(id_)}"),
        visit.all("/models"),
        visit.all("/nodes"),
        _history(visit, "instance", id_),
        _explained(visit, "instance", id_),
    )
    row = instance_rows([found], names(nodes), colours(models), bar.at)[0]
    thing = {"name": id_, **found}
    return await _page(
        visit,
        bar,
        "instance",
        id_,
        thing,
        why=why,
        history=history,
        row=row,
        known={**names(models), **names(nodes)},
    )


@router.get("/environments/{id_}")
async def environment(visit: VisitHere, id_: Id) -> Response:
    """Show an environment, its models and nodes."""
    bar, (found, models, nodes, history) = await visit.together(
        visit.read(f"/environments/{_in(id_)}"),
        visit.all("/models", environment_id=id_),
        visit.all("/nodes", environment_id=id_),
        _history(visit, "environment", id_),
    )
    row = environment_rows([found], models, nodes, bar.at)[0]
    return await _page(
        visit, bar, "environment", id_, found, history=history,
        row=row, models=models, nodes=nodes,
    )  # fmt: skip


@router.get("/strategies/{id_}")
async def strategy(visit: VisitHere, id_: Id) -> Response:
    """Show a strategy, how it is set, and what it did."""
    bar, (found, history) = await visit.together(
        visit.read(f"/scheduling-strategies/{_in(id_)}"), _history(visit, "strategy", id_)
    )
    row = strategy_rows([found], bar.at)[0]
    return await _page(visit, bar, "strategy", id_, found, history=history, row=row)


@router.get("/alerts/{id_:path}")
async def alert(visit: VisitHere, id_: Id) -> Response:
    """Show an alert: what it stood on, and who was told."""
    bar, (alerts, history) = await visit.together(
        visit.all("/alerts"), _history(visit, "alert", id_)
    )
    found = next((each for each in alerts if each["alert_id"] == id_), None)
    row = alert_rows([found], bar.at)[0] if found else None
    thing = {"name": found.get("summary", id_), **found} if found else {"name": id_}
    return await _page(visit, bar, "alert", id_, thing, history=history, row=row)


async def _page(
    visit: Visit, bar: Timebar, kind: str, id_: str, thing: dict[str, Any], **more: Any
) -> Response:
    why, history, known = more.pop("why", None), more.pop("history"), more.pop("known", {})
    return await visit.page(
        f"{kind}.html",
        bar,
        title=str(thing.get("name") or id_),
        kind=kind,
        id=id_,
        thing=thing,
        why=explained(why, bar.at) if why else None,
        stories=stories(history["items"][:SHOWN] if history else (), known, bar.at),
        **more,
    )


async def _history(visit: Visit, kind: str, id_: str) -> Any:
    return await visit.maybe(f"/history/{kind}/{_in(id_)}", limit=STORIES)


async def _explained(visit: Visit, kind: str, id_: str) -> Any:
    return await visit.maybe(f"/explain/{kind}/{_in(id_)}")


def _in(id_: str) -> str:
    return quote(id_, safe=":@")
