"""The SDK, wired: only imported where a collector is named. No secret leaves by this door."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import orjson
from opentelemetry import metrics as metrics_api
from opentelemetry import trace as trace_api
from opentelemetry._logs import LogRecord, SeverityNumber
from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.trace import Event, ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

from services.chassis.logging import without_secrets

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace.export import SpanExportResult

    from services.chassis.logging import Shipping

# What a caller sends in a query may be anything; nobody needs it to find a request.
LEFT_OUT = frozenset({"url.query", "url.full", "exception.stacktrace", "exception.message"})
SEVERITIES = {
    "debug": SeverityNumber.DEBUG,
    "info": SeverityNumber.INFO,
    "warning": SeverityNumber.WARN,
    "error": SeverityNumber.ERROR,
    "critical": SeverityNumber.FATAL,
}
NOT_ATTRIBUTES = frozenset({"event", "level", "timestamp", "service", "trace_id", "span_id"})


def traces(resource: Resource) -> TracerProvider:
    """Return what makes and sends spans, also for the HTTP server's own."""
    provider = TracerProvider(resource=resource, shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(CleanSpans()))
    trace_api.set_tracer_provider(provider)
    return provider


def metrics(resource: Resource) -> MeterProvider:
    """Return what keeps and sends metrics."""
    reader = PeriodicExportingMetricReader(OTLPMetricExporter())
    provider = MeterProvider([reader], resource, shutdown_on_exit=False)
    metrics_api.set_meter_provider(provider)
    return provider


def logs(resource: Resource) -> tuple[LoggerProvider, Shipping]:
    """Return what sends log lines, and what takes one that has no secret in it any more.

    It is not made the provider of all: what others log of their own accord has met no redaction.
    """
    provider = LoggerProvider(resource=resource, shutdown_on_exit=False)
    provider.add_log_record_processor(BatchLogRecordProcessor(OTLPLogExporter()))
    logger = provider.get_logger("quartermaster")
    # The exporter's own complaints would be shipped by the exporter.
    logging.getLogger("opentelemetry").setLevel(logging.ERROR)

    def ship(entry: Mapping[str, Any]) -> None:
        level = str(entry.get("level", "info"))
        told = {
            name: value if isinstance(value, (str, bool, int, float)) else _text(value)
            for name, value in entry.items()
            if name not in NOT_ATTRIBUTES and value is not None
        }
        number = SEVERITIES.get(level, SeverityNumber.INFO)
        body = str(entry.get("event", ""))
        logger.emit(
            LogRecord(
                severity_text=level.upper(), severity_number=number, body=body, attributes=told
            )
        )

    return provider, ship


class CleanSpans(OTLPSpanExporter):
    """Sends spans without what looks like a secret; in the exporter's thread, not the service's."""

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Send spans."""
        return super().export([clean(span) for span in spans])


def clean(span: ReadableSpan) -> ReadableSpan:
    """Return a span as it may leave the process."""
    return ReadableSpan(
        name=span.name,
        context=span.context,
        parent=span.parent,
        resource=span.resource,
        attributes=_clean(span.attributes),
        events=[
            Event(event.name, _clean(event.attributes), event.timestamp) for event in span.events
        ],
        links=span.links,
        kind=span.kind,
        status=trace_api.Status(span.status.status_code),
        start_time=span.start_time,
        end_time=span.end_time,
        instrumentation_scope=span.instrumentation_scope,
    )


def _clean(attributes: Mapping[str, Any] | None) -> dict[str, Any]:
    return {
        name: without_secrets(name, value)
        for name, value in (attributes or {}).items()
        if name not in LEFT_OUT
    }


def _text(value: Any) -> str:
    return orjson.dumps(value, default=str, option=orjson.OPT_NON_STR_KEYS).decode()
