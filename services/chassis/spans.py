"""The spans of the log: events proposed, appended, decided on, each in its own trace."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Self

from opentelemetry.trace import SpanKind, StatusCode

from services.chassis import tracing
from services.chassis.errors import QuartermasterError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime
    from types import TracebackType

    from opentelemetry.trace import Span, Tracer

    from contracts.envelope import Draft

PROPOSED, QUEUE = "qm.proposed", "journal.proposed"
_NS = 1_000_000_000


class Spans:
    """Spans that begin and end together, one a proposal or None; none is the current one."""

    def __init__(self, spans: Sequence[Span | None]) -> None:
        self._spans = spans

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for span in self._spans:
            if span is None:
                continue
            if error is not None:
                _failed(span, error)
            span.end()

    def trace(self, number: int) -> str | None:
        """Return what the events of one of them carry on."""
        span = self._spans[number] if self._spans else None
        return None if span is None else tracing.text_of(span)

    def settle(self, verdicts: Sequence[Any]) -> None:
        """Say of each what the journal said: an error, or where it is recorded."""
        for span, verdict in zip(self._spans, verdicts, strict=False):
            if isinstance(verdict, QuartermasterError):
                _failed(span, verdict)
            elif span is not None:
                span.set_attribute("quartermaster.position", verdict.position)

    def conclude(self, outcomes: Iterable[str]) -> None:
        """Say of each how it ended."""
        for span, outcome in zip(self._spans, outcomes, strict=False):
            if span is not None:
                span.set_attribute("quartermaster.outcome", outcome)


NONE = Spans(())


def proposing(groups: Sequence[Sequence[Draft]]) -> Spans:
    """Return a span for each proposal: of the current trace, its decision's, or its cause's."""
    tracer = tracing.tracer()
    if tracer is None:
        return NONE
    return Spans([_proposing(tracer, drafts) for drafts in groups])


def appending(origins: Sequence[tuple[str, str, str | None]]) -> Spans:
    """Return a span for each proposal that is appended together; origin: type, stream, trace.

    What came without a trace, as telemetry does, is appended without one.
    """
    tracer = tracing.tracer()
    if tracer is None:
        return NONE
    return Spans([_appending(tracer, *origin, len(origins)) for origin in origins])


def decided(
    proposals: list[tuple[Draft, ...]], began: datetime, ended: datetime, epoch: int
) -> list[tuple[Draft, ...]]:
    """Return the proposals of one pass, each in the trace of what led to it."""
    tracer = tracing.tracer()
    if tracer is None:
        return proposals
    return [_decided(tracer, drafts, began, ended, epoch) for drafts in proposals]


def _decided(
    tracer: Tracer, drafts: tuple[Draft, ...], began: datetime, ended: datetime, epoch: int
) -> tuple[Draft, ...]:
    last = drafts[-1]
    reason = getattr(last.event, "reason", None)
    span = tracer.start_span(
        f"decide {last.event.type}",
        tracing.parent(tracing.trace_of(last.causation_id)),
        attributes={
            "quartermaster.event.type": last.event.type,
            "quartermaster.stream": last.stream,
            "quartermaster.reason": reason.code if reason is not None else "",
            "quartermaster.epoch": epoch,
        },
        start_time=int(began.timestamp() * _NS),
    )
    span.end(int(ended.timestamp() * _NS))
    trace = tracing.text_of(span)
    return tuple(replace(draft, trace=trace) for draft in drafts)


def _proposing(tracer: Tracer, drafts: Sequence[Draft]) -> Span:
    last = drafts[-1]
    trace = last.trace
    if trace is None and not tracing.is_inside():
        trace = tracing.trace_of(last.causation_id)
    return tracer.start_span(
        f"send {PROPOSED}",
        tracing.parent(trace),
        SpanKind.PRODUCER,
        {
            **_messaging("send", "propose", PROPOSED),
            "messaging.batch.message_count": len(drafts),
            "quartermaster.event.type": last.event.type,
            "quartermaster.stream": last.stream,
        },
    )


def _appending(
    tracer: Tracer, type_: str, stream: str, trace: str | None, together: int
) -> Span | None:
    if trace is None:
        return None
    return tracer.start_span(
        f"process {QUEUE}",
        tracing.parent(trace),
        SpanKind.CONSUMER,
        {
            **_messaging("process", "append", QUEUE),
            "messaging.batch.message_count": together,
            "quartermaster.event.type": type_,
            "quartermaster.stream": stream,
        },
    )


def _messaging(type_: str, name: str, destination: str) -> tracing.Attributes:
    return {
        "messaging.system": "rabbitmq",
        "messaging.operation.type": type_,
        "messaging.operation.name": name,
        "messaging.destination.name": destination,
    }


def _failed(span: Span | None, error: BaseException) -> None:
    """Name the error's class; its text may hold what nobody else should read."""
    if span is None:
        return
    code = error.code if isinstance(error, QuartermasterError) else type(error).__name__
    span.set_attribute("error.type", code)
    span.set_status(StatusCode.ERROR)
