"""A collector in this process: takes OTLP over HTTP, decodes it, and remembers all of it."""

from __future__ import annotations

import gzip
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import TYPE_CHECKING, Any

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

if TYPE_CHECKING:
    from collections.abc import Iterator

REQUESTS: dict[str, Any] = {
    "/v1/traces": ExportTraceServiceRequest,
    "/v1/metrics": ExportMetricsServiceRequest,
    "/v1/logs": ExportLogsServiceRequest,
}


@dataclass(frozen=True)
class Span:
    """A span as it arrived, with the service that made it."""

    service: str
    name: str
    trace_id: str
    span_id: str
    parent_id: str
    kind: int
    attributes: dict[str, Any]


@dataclass
class Collected:
    """Everything that arrived: decoded, and as bytes for whoever looks for what must not be there.

    points: by metric, the attributes of every data point, those of its resource among them.
    """

    url: str = ""
    spans: list[Span] = field(default_factory=list)
    points: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    units: dict[str, tuple[str, str]] = field(default_factory=dict)
    logs: list[dict[str, Any]] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)
    metrics: list[bytes] = field(default_factory=list)

    def take(self, path: str, body: bytes) -> None:
        request = REQUESTS[path]()
        request.ParseFromString(body)
        self.bodies.append(body)
        if path == "/v1/traces":
            self._take_spans(request)
        elif path == "/v1/metrics":
            self.metrics.append(body)
            self._take_points(request)
        else:
            self._take_logs(request)

    def trace(self, trace_id: str) -> list[Span]:
        return [span for span in self.spans if span.trace_id == trace_id]

    def _take_spans(self, request: Any) -> None:
        for each in request.resource_spans:
            service = _attributes(each.resource)["service.name"]
            for span in (span for scope in each.scope_spans for span in scope.spans):
                ids = span.trace_id.hex(), span.span_id.hex(), span.parent_span_id.hex()
                made = Span(service, span.name, *ids, span.kind, _attributes(span))
                self.spans.append(made)

    def _take_points(self, request: Any) -> None:
        for each in request.resource_metrics:
            resource = _attributes(each.resource)
            for metric in (metric for scope in each.scope_metrics for metric in scope.metrics):
                kind = metric.WhichOneof("data")
                self.units[metric.name] = (metric.unit, kind)
                found = self.points.setdefault(metric.name, [])
                for point in getattr(metric, kind).data_points:
                    found.append(resource | _attributes(point))

    def _take_logs(self, request: Any) -> None:
        for each in request.resource_logs:
            service = _attributes(each.resource)["service.name"]
            for line in (line for scope in each.scope_logs for line in scope.log_records):
                told = _attributes(line) | {"service": service, "trace_id": line.trace_id.hex()}
                self.logs.append(told | {"body": line.body.string_value})


def _attributes(holder: Any) -> dict[str, Any]:
    return {each.key: _value(each.value) for each in holder.attributes}


def _value(value: Any) -> Any:
    kind = value.WhichOneof("value")
    return None if kind is None else getattr(value, kind)


@contextmanager
def a_collector() -> Iterator[Collected]:
    """Collect while this lasts."""
    collected = Collected()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            if self.headers.get("content-encoding") == "gzip":
                body = gzip.decompress(body)
            collected.take(self.path, body)
            self.send_response(200)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    collected.url = f"http://127.0.0.1:{server.server_port}"
    serving = Thread(target=server.serve_forever, args=(0.1,), daemon=True)
    serving.start()
    try:
        yield collected
    finally:
        server.shutdown()
        server.server_close()
