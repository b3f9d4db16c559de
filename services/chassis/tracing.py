"""Spans that go on across the log: an event carries its trace, and what it leads to continues it.

Without a collector nothing here does anything: every function looks at one variable and returns.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from opentelemetry import trace
from opentelemetry.propagate import inject
from opentelemetry.trace import SpanKind
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from opentelemetry.context import Context
    from opentelemetry.trace import Span, Tracer

    from contracts.envelope import Recorded

Attributes = dict[str, str | int | float | bool]

# Causes are mostly young: what was folded longer ago than this begins a trace of its own.
REMEMBERED = 10_000


@dataclass
class _Tracing:
    tracer: Tracer | None = None
    traces: dict[str, str] = field(default_factory=dict)  # event id → its trace


@dataclass(slots=True)
class Call:
    """A request to another process: the headers that carry the trace on, and what was answered."""

    headers: dict[str, str] = field(default_factory=dict)
    status: int = 0


_TRACING = _Tracing()
_PROPAGATOR = TraceContextTextMapPropagator()
_NOTHING: AbstractContextManager[None] = nullcontext()


def use(tracer: Tracer | None) -> None:
    """Make spans with this tracer from now on; None: make none."""
    _TRACING.tracer = tracer
    _TRACING.traces.clear()


def is_on() -> bool:
    """Return whether anybody wants spans."""
    return _TRACING.tracer is not None


def tracer() -> Tracer | None:
    """Return what makes spans, or None when nobody wants any."""
    return _TRACING.tracer


def remember(event: Recorded) -> None:
    """Keep the trace of an event, for what is done because of it."""
    if _TRACING.tracer is None or event.meta.trace is None:
        return
    traces = _TRACING.traces
    if len(traces) >= REMEMBERED:
        del traces[next(iter(traces))]
    traces[event.event_id] = event.meta.trace


def trace_of(event_id: str | None) -> str | None:
    """Return the trace an event belongs to, or None when that is not known here."""
    return _TRACING.traces.get(event_id) if event_id is not None else None


def parent(traceparent: str | None) -> Context | None:
    """Return the context that a span begins in: a trace from elsewhere, else the current one."""
    if traceparent is None:
        return None
    return _PROPAGATOR.extract({"traceparent": traceparent})


def is_inside() -> bool:
    """Return whether a span is under way here."""
    return trace.get_current_span().get_span_context().is_valid


def text_of(span: Span) -> str:
    """Return a span as the W3C's traceparent, which is what events carry."""
    context = span.get_span_context()
    return f"00-{context.trace_id:032x}-{context.span_id:016x}-{context.trace_flags:02x}"


def span(
    name: str,
    attributes: Mapping[str, str | int | float | bool] | None = None,
    *,
    cause: str | None = None,
    kind: SpanKind = SpanKind.INTERNAL,
) -> AbstractContextManager[Span | None]:
    """Let what follows be a span: of the current trace, or of that of the event that led to it."""
    tracer = _TRACING.tracer
    if tracer is None:
        return _NOTHING
    context = None if is_inside() else parent(trace_of(cause))
    return tracer.start_as_current_span(
        name, context, kind, attributes, record_exception=False, set_status_on_exception=True
    )


@contextmanager
def calling(method: str, host: str, port: int | None) -> Iterator[Call]:
    """Let a request to another process be a span; whoever makes it says what was answered.

    Questions asked outside of any trace, as the monitor's are, make none.
    """
    call = Call()
    tracer = _TRACING.tracer
    if tracer is None or not is_inside():
        yield call
        return
    attributes: Attributes = {"http.request.method": method, "server.address": host}
    if port is not None:
        attributes["server.port"] = port
    with tracer.start_as_current_span(
        method, kind=SpanKind.CLIENT, attributes=attributes, record_exception=False
    ) as made:
        inject(call.headers)
        yield call
        if call.status:
            made.set_attribute("http.response.status_code", call.status)
