"""The live table: queues, GPUs, decisions with their reasons, and how far the run is."""

from collections.abc import Iterable

from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from deploy.demo.view import Decision, GpuRow, ModelRow, Progress, View

STATES = {"ready": "green", "requested": "yellow", "stopping": "magenta", "": "dim"}
BAR = 24


def draw(view: View, progress: Progress) -> RenderableType:
    """Return the whole picture for a terminal."""
    parts: list[RenderableType] = [
        Panel(_headline(progress, view), title="Quartermaster", title_align="left"),
        _models(view.models),
        _gpus(view.gpus),
        _decisions(view.decisions),
    ]
    if view.stale:
        parts.append(Text(view.stale, style="yellow"))
    parts.extend(Text(note, style="yellow") for note in progress.notes)
    return Group(*parts)


def line(view: View, progress: Progress) -> str:
    """Return the same in one line, for logs and pipes."""
    busy = sum(1 for gpu in view.gpus if gpu.model)
    waiting = sum(model.waiting or 0 for model in view.models)
    words = [
        f"{progress.elapsed_s:5.0f} s",
        f"served {progress.served}/{progress.wanted or progress.published}",
        f"published {progress.published}",
        f"waiting {waiting}",
        f"GPUs {busy}/{len(view.gpus)}",
        f"wait p50 {seconds(progress.wait_p50_s)} p95 {seconds(progress.wait_p95_s)}",
        f"events {view.events}",
    ]
    if view.decisions:
        last = view.decisions[0]
        words.append(f"{last.what}: {last.why}")
    return "  ".join([*words, *([view.stale] if view.stale else [])])


def seconds(value: float | None) -> str:
    """Return a wait for people, `-` where there is none."""
    return "-" if value is None else f"{value:.0f} s"


def _headline(progress: Progress, view: View) -> Text:
    text = Text()
    if progress.wanted:
        done = progress.served * BAR // progress.wanted
        text.append("█" * done, style="green")
        text.append("░" * (BAR - done) + " ", style="dim")
    text.append(f"{progress.served} served", style="bold")
    text.append(f" of {progress.wanted or '∞'}, {progress.published} published")
    if progress.repeated:
        text.append(f", {progress.repeated} redelivered")
    text.append(f"   wait p50 {seconds(progress.wait_p50_s)}, p95 {seconds(progress.wait_p95_s)}")
    text.append(f" (trace seconds)\n{progress.elapsed_s:.0f} s at speed {progress.speed:g}")
    text.append(f"   {view.events} events in the log   {view.alerts} open alerts")
    text.append(f"   {progress.url}", style="cyan")
    return text


def _models(models: Iterable[ModelRow]) -> Table:
    table = _table("model", "waiting", "in work", "instances", "floor", "served", "wait p50")
    for model in models:
        starting = f" +{model.starting}" if model.starting else ""
        floor = Text("met", style="green") if model.floor_met else Text("unmet", style="red")
        table.add_row(
            model.name,
            _number(model.waiting),
            _number(model.in_work),
            f"{model.ready}{starting}",
            floor,
            f"{model.served}/{model.published}",
            seconds(model.wait_p50_s),
        )
    return table


def _gpus(gpus: Iterable[GpuRow]) -> Table:
    nodes: dict[str, list[GpuRow]] = {}
    for gpu in gpus:
        nodes.setdefault(gpu.node, []).append(gpu)
    width = max((len(row) for row in nodes.values()), default=0)
    table = _table("node", *(f"GPU {index}" for index in range(width)))
    for node, row in nodes.items():
        style = "" if all(gpu.online for gpu in row) else "red"
        table.add_row(Text(node, style=style), *(_gpu(gpu) for gpu in row))
    return table


def _gpu(gpu: GpuRow) -> Text:
    if not gpu.model:
        return Text("free", style="dim")
    mark = "" if gpu.state == "ready" else f" ({gpu.state})"
    return Text(f"{gpu.model}{mark}", style=STATES.get(gpu.state, "red"))


def _decisions(decisions: Iterable[Decision]) -> Table:
    table = _table("position", "decision", "because")
    for decision in decisions:
        table.add_row(str(decision.position), decision.what, decision.why)
    return table


def _table(*columns: str) -> Table:
    table = Table(box=None, header_style="bold dim", pad_edge=False, expand=True)
    for number, name in enumerate(columns):
        table.add_column(name, overflow="ellipsis", no_wrap=True, min_width=6 if number else 8)
    return table


def _number(value: int | None) -> str:
    return "?" if value is None else str(value)
