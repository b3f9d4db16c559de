"""Gauges show what was so at the last look, of whoever is looked at now."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader

from deploy.grafana.metrics import METRICS
from services.chassis import metering

if TYPE_CHECKING:
    from collections.abc import Iterator

QUEUE = "quartermaster.queue.length"


@pytest.fixture
def reader() -> Iterator[InMemoryMetricReader]:
    made = InMemoryMetricReader()
    metering.use(MeterProvider([made]).get_meter("test"))
    yield made
    metering.use(None)


def shown(reader: InMemoryMetricReader, name: str) -> dict[str, float]:
    """Return the gauge's values by model."""
    data = reader.get_metrics_data()
    return {
        str((point.attributes or {}).get("model")): float(point.value)  # type: ignore[union-attr]
        for resource in (data.resource_metrics if data else ())
        for scope in resource.scope_metrics
        for metric in scope.metrics
        if metric.name == name
        for point in metric.data.data_points
    }


def test_a_gauge_shows_what_was_seen_and_forgets_what_is_gone(reader: InMemoryMetricReader) -> None:
    lengths = {"llama": 3, "phi": 0}
    with metering.gauge(QUEUE, lambda: [(n, {"model": m}) for m, n in lengths.items()]):
        metering.look()
        assert shown(reader, QUEUE) == {"llama": 3.0, "phi": 0.0}
        del lengths["llama"]
        metering.look()
        assert shown(reader, QUEUE) == {"phi": 0.0}
    metering.look()
    assert shown(reader, QUEUE) == {}


def test_several_may_show_the_same_gauge(reader: InMemoryMetricReader) -> None:
    with (
        metering.gauge(QUEUE, lambda: [(1, {"model": "a"})]),
        metering.gauge(QUEUE, lambda: [(True, {"model": "b"})]),
    ):
        metering.look()
        assert shown(reader, QUEUE) == {"a": 1.0, "b": 1.0}


def test_every_gauge_is_on_the_list_that_dashboards_are_made_from() -> None:
    listed = {each.name: each.unit for each in METRICS if each.kind == "gauge"}
    assert listed == {name: unit for name, (unit, _) in metering.GAUGES.items()}
