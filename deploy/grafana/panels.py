"""How a panel looks: one question or several, a unit, a place on a grid of 24 columns."""

from grafana_foundation_sdk.builders.dashboard import Dashboard
from grafana_foundation_sdk.builders.prometheus import Dataquery
from grafana_foundation_sdk.builders.stat import Panel as Stat
from grafana_foundation_sdk.builders.timeseries import Panel as Timeseries
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.models.dashboard import DataSourceRef, Panel

Panels = list[Builder[Panel]]

SOURCE = DataSourceRef(type_val="prometheus", uid="prometheus")
HEIGHT, THIRD = 8, 8


def board(uid: str, title: str, about: str) -> Dashboard:
    """Return an empty dashboard of an hour, refreshed by itself."""
    return (
        Dashboard(title)
        .uid(uid)
        .description(about)
        .tags(["quartermaster", "generated"])
        .timezone("browser")
        .time("now-1h", "now")
        .refresh("30s")
        .readonly()
    )


def over_time(title: str, about: str, unit: str, *questions: tuple[str, str]) -> Timeseries:
    """Return lines over time; questions: a query, and what its lines are called."""
    panel = Timeseries().title(title).description(about).unit(unit).datasource(SOURCE)
    panel = panel.height(HEIGHT).span(THIRD).min(0).fill_opacity(8)
    for query in _targets(questions):
        panel = panel.with_target(query)
    return panel


def now(title: str, about: str, unit: str, *questions: tuple[str, str]) -> Stat:
    """Return numbers as they are now."""
    panel = Stat().title(title).description(about).unit(unit).datasource(SOURCE)
    panel = panel.height(HEIGHT).span(THIRD)
    for query in _targets(questions):
        panel = panel.with_target(query.instant())
    return panel


def _targets(questions: tuple[tuple[str, str], ...]) -> list[Dataquery]:
    return [
        Dataquery().expr(expression).legend_format(legend).ref_id(chr(ord("A") + number))
        for number, (expression, legend) in enumerate(questions)
    ]
