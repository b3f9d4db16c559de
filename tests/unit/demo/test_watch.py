"""The view: rows of the read models as people see them, and what stands when nobody answers."""

import io
from typing import Any

import httpx2
from rich.console import Console

from deploy.demo.table import draw, line
from deploy.demo.view import Decision, GpuRow, Progress, View
from deploy.demo.watch import Served, Watch, because, decision, gpu_rows, model_row

PROGRESS = Progress(12.0, wanted=10, published=5, served=4, repeated=1, speed=60, wait_p50_s=3.4)
MODEL = {
    "name": "sdxl",
    "min_instances": 1,
    "instances": {"requested": 1, "ready": 2, "stopping": 0},
}


class SilentQuery:
    async def some(self, *_: Any, **__: Any) -> list[dict[str, Any]]:
        raise httpx2.ConnectError("refused")


def _drawn(view: View) -> str:
    console = Console(file=io.StringIO(), width=140, record=True)
    console.print(draw(view, PROGRESS))
    return console.export_text()


def test_a_models_row_tells_queue_instances_and_load() -> None:
    row = model_row(MODEL, {"ready": 3, "unacknowledged": 2}, Served(9, 4, 1.5))
    assert (row.waiting, row.in_work, row.ready, row.starting) == (3, 2, 2, 1)
    assert (row.published, row.served, row.wait_p50_s, row.floor_met) == (9, 4, 1.5, True)


def test_a_queue_that_was_never_read_is_not_taken_for_empty() -> None:
    assert model_row(MODEL, {}, Served()).waiting is None


def test_gpus_stand_by_node_with_what_holds_them() -> None:
    free = {"index": 1, "instance": None}
    held = {"index": 0, "instance": {"model_name": "sdxl", "state": "ready"}}
    nodes = [
        {"name": "b", "status": "offline", "gpus": []},
        {"name": "a", "status": "online", "gpus": [held, free]},
    ]
    assert gpu_rows(nodes) == [
        GpuRow("a", 0, online=True, model="sdxl", state="ready"),
        GpuRow("a", 1, online=True),
    ]


def test_a_decision_is_told_with_its_models_name_and_reason() -> None:
    reason = {"code": "busy_queue", "numbers": {"length": 3, "wait_s": 41.2345}}
    row = {
        "position": 7,
        "type": "instance.start_requested",
        "model_id": "mdl-1",
        "reason": reason,
    }
    told = decision(row, {"mdl-1": "sdxl"})
    assert told == Decision(7, "start sdxl", "busy queue (wait_s 41.2, length 3)")


def test_a_reason_without_numbers_is_its_code() -> None:
    assert because({"code": "floor"}) == "floor"


async def test_the_last_view_stands_while_nobody_answers() -> None:
    watch = Watch(SilentQuery())  # type: ignore[arg-type]
    watch.view = View(events=42)
    view = await watch.look({})
    assert view.events == 42
    assert "does not answer" in view.stale


def test_the_table_shows_queues_gpus_decisions_and_progress() -> None:
    view = View(
        models=[model_row(MODEL, {"ready": 3, "unacknowledged": 2}, Served(9, 4, 1.5))],
        gpus=[GpuRow("node-1", 0, model="sdxl", state="requested"), GpuRow("node-1", 1)],
        decisions=[Decision(7, "start sdxl", "busy")],
        events=42,
        stale="old",
    )
    drawn = _drawn(view)
    for words in ("4 served of 10", "1 redelivered", "42 events", "sdxl (requested)", "free"):
        assert words in drawn
    for words in ("start sdxl", "busy", "old", "4/9", "node-1"):
        assert words in drawn


def test_nothing_yet_is_drawn_too() -> None:
    assert "served" in _drawn(View())


def test_a_line_tells_the_same() -> None:
    view = View(gpus=[GpuRow("n", 0, model="m"), GpuRow("n", 1)], events=42)
    told = line(view, PROGRESS)
    for words in ("served 4/10", "GPUs 1/2", "wait p50 3 s p95 -", "events 42"):
        assert words in told
