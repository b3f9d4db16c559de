"""Traces, metrics and logs over OTLP, where the environment names a collector."""

from __future__ import annotations

import os
import socket
from dataclasses import dataclass, field
from threading import Thread
from typing import TYPE_CHECKING, Any

from services.chassis import metering, tracing
from services.chassis.ids import new_id

if TYPE_CHECKING:
    from collections.abc import Callable

    from services.chassis.logging import Shipping

ENDPOINT = "OTEL_EXPORTER_OTLP_ENDPOINT"
FLUSH_S = 3.0  # a collector that is gone must not keep a process that was told to end


@dataclass
class Telemetry:
    """What a process tells the collector; `ship` takes its log lines."""

    ship: Shipping | None = None
    ends: list[Callable[[], Any]] = field(default_factory=list)

    def shut_down(self) -> None:
        """Send what is left, for a while at most."""
        tracing.use(None)
        metering.use(None)
        ending = Thread(target=lambda: [end() for end in self.ends], daemon=True)
        ending.start()
        ending.join(FLUSH_S if self.ends else 0)


def configure(service: str) -> Telemetry:
    """Tell the collector of OTEL_EXPORTER_OTLP_ENDPOINT; without it, nobody and at no cost.

    The SDK is imported only then: it costs every process a tenth of a second at its start.
    OTEL_RESOURCE_ATTRIBUTES, OTEL_METRIC_EXPORT_INTERVAL and the like mean what they always do.
    """
    if not os.environ.get(ENDPOINT):
        return Telemetry()
    from opentelemetry.sdk.resources import Resource  # noqa: PLC0415

    from services.chassis import exporting  # noqa: PLC0415

    resource = Resource.create(
        {
            "service.namespace": "quartermaster",
            "service.name": service,
            "service.instance.id": new_id(service),
            "host.name": socket.gethostname(),
        }
    )
    traces, metrics = exporting.traces(resource), exporting.metrics(resource)
    logs, ship = exporting.logs(resource)
    tracing.use(traces.get_tracer("quartermaster"))
    metering.use(metrics.get_meter("quartermaster"))
    return Telemetry(ship, [traces.shutdown, metrics.shutdown, logs.shutdown])
