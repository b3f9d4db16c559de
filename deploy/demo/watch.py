"""Reads the fleet from the query service and makes the view of it; the folding of rows is pure."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import httpx2

from deploy.demo.client import Query
from deploy.demo.view import Decision, GpuRow, ModelRow, View

LATEST = 6
SHOWN_NUMBERS = 3
TELLING = frozenset({"wait_s", "mean_length", "idle_s"})
VERBS = {
    "instance.start_requested": "start",
    "instance.stop_requested": "stop",
    "instance.start_refused": "refuse",
    "model.floor_unmet": "floor unmet",
    "model.deferred": "defer",
}
Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Served:
    """What the load says of a model."""

    published: int = 0
    served: int = 0
    wait_p50_s: float | None = None


class Watch:
    """The newest view of the fleet; while nobody answers, the last one and why it is old."""

    def __init__(self, query: Query) -> None:
        self._query = query
        self.view = View()

    async def look(self, load: Mapping[str, Served]) -> View:
        """Return the fleet as it is now."""
        try:
            self.view = await self._read(load)
        except httpx2.HTTPError as error:
            self.view = View(
                self.view.models,
                self.view.gpus,
                self.view.decisions,
                self.view.events,
                self.view.alerts,
                stale=f"the query service does not answer ({type(error).__name__})",
            )
        return self.view

    async def _read(self, load: Mapping[str, Served]) -> View:
        query = self._query
        models = await query.some("/models")
        queues = {row["model_id"]: row for row in await query.some("/queues")}
        names = {row["model_id"]: row["name"] for row in models}
        decided = await query.some("/decisions", order="desc", limit=LATEST)
        return View(
            models=[
                model_row(row, queues.get(row["model_id"], {}), load.get(row["name"], Served()))
                for row in sorted(models, key=lambda row: row["name"])
            ],
            gpus=gpu_rows(await query.some("/deployments/status")),
            decisions=[decision(row, names) for row in decided],
            events=(await query.one("/status"))["head"],
            alerts=len(await query.some("/alerts", open=True)),
        )


def model_row(row: Row, queue: Row, load: Served) -> ModelRow:
    """Return a model's line."""
    instances = row["instances"]
    return ModelRow(
        name=row["name"],
        waiting=queue.get("ready"),
        in_work=queue.get("unacknowledged"),
        ready=instances["ready"],
        starting=instances["requested"],
        served=load.served,
        published=load.published,
        wait_p50_s=load.wait_p50_s,
        floor_met=floor_is_met(row),
    )


def floor_is_met(row: Row) -> bool:
    """Tell whether a model has as many ready instances as it must."""
    return bool(row["instances"]["ready"] >= row["min_instances"])


def gpu_rows(nodes: Iterable[Row]) -> Sequence[GpuRow]:
    """Return every GPU, nodes in order of their names."""
    return [
        GpuRow(
            node=node["name"],
            index=gpu["index"],
            online=node["status"] == "online",
            model=(gpu.get("instance") or {}).get("model_name") or "",
            state=(gpu.get("instance") or {}).get("state") or "",
        )
        for node in sorted(nodes, key=lambda node: str(node["name"]))
        for gpu in node["gpus"]
    ]


def decision(row: Row, names: Mapping[str, str]) -> Decision:
    """Return a decision as people read it."""
    model = names.get(row["model_id"], row["model_id"])
    what = f"{VERBS.get(row['type'], row['type'])} {model}"
    return Decision(row["position"], what, because(row["reason"]))


def because(reason: Row) -> str:
    """Return a reason's code with its numbers, the telling ones first and no more than fit."""
    told_first = sorted(reason.get("numbers", {}).items(), key=lambda item: item[0] not in TELLING)
    numbers = told_first[:SHOWN_NUMBERS]
    told = ", ".join(f"{name} {_short(value)}" for name, value in numbers)
    code = str(reason["code"]).replace("_", " ")
    return f"{code} ({told})" if told else code


def _short(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)
