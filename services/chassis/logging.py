"""Structured log lines, with whatever looks like a secret taken out."""

from __future__ import annotations

import logging
import re
import sys
from typing import TYPE_CHECKING, Any

import orjson
import structlog
from opentelemetry import trace

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from structlog.typing import EventDict, Processor, WrappedLogger

    Shipping = Callable[[Mapping[str, Any]], None]

HIDDEN = "***"
SECRET_NAMES = re.compile(
    r"passw(or)?d|secret_value|(^|_)secret$|token|authorization|api_?key|private_?key|cookie",
    re.IGNORECASE,
)
SECRET_TEXTS = (
    (re.compile(r"(?<=://)([^/\s:@]*):([^/\s]+)(?=@)"), rf"\1:{HIDDEN}"),
    # API keys and refresh tokens, and access tokens (JSON Web Tokens), as the gateway makes them.
    (re.compile(r"\bqm[kr]_[\w-]+|\beyJ[\w-]+\.[\w-]+\.[\w-]+"), HIDDEN),
    (re.compile(r"\b(Bearer|Basic)\s+[\w.~+/=-]+", re.IGNORECASE), rf"\1 {HIDDEN}"),
)


def redact(_: WrappedLogger, __: str, entry: EventDict) -> EventDict:
    """Hide values named like secrets, and secrets inside of texts, however deep they lie."""
    return {name: without_secrets(name, value) for name, value in entry.items()}


def without_secrets(name: str, value: Any) -> Any:
    """Return a value as it may leave the process."""
    if SECRET_NAMES.search(name):
        return HIDDEN
    if isinstance(value, str):
        for pattern, instead in SECRET_TEXTS:
            value = pattern.sub(instead, value)
        return value
    if isinstance(value, dict):
        return {key: without_secrets(str(key), inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [without_secrets("", inner) for inner in value]
    if value is None or isinstance(value, (bool, int, float)):
        return value
    return without_secrets(name, str(value))


def _in_trace(_: WrappedLogger, __: str, entry: EventDict) -> EventDict:
    """Say which request a line belongs to, where it belongs to one."""
    context = trace.get_current_span().get_span_context()
    if context.is_valid:
        entry["trace_id"], entry["span_id"] = f"{context.trace_id:032x}", f"{context.span_id:016x}"
    return entry


def _shipped(ship: Shipping) -> Processor:
    def process(_: WrappedLogger, __: str, entry: EventDict) -> EventDict:
        ship(entry)
        return entry

    return process


def _as_json(entry: Any, **_: Any) -> str:
    return orjson.dumps(entry, default=str).decode()


def configure(service: str, level: str, ship: Shipping | None = None) -> None:
    """Write lines to stderr: for people on a terminal, as JSON elsewhere.

    ship: takes each line, already without secrets, to where the fleet's logs are kept.
    """
    for_people = sys.stderr.isatty()
    renderer: Any = (
        structlog.dev.ConsoleRenderer()
        if for_people
        else structlog.processors.JSONRenderer(serializer=_as_json)
    )
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,  # before redact: what it prints may hold secrets
            redact,
            *([_in_trace, _shipped(ship)] if ship is not None else []),
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelName(level)),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
    structlog.contextvars.bind_contextvars(service=service)
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr, force=True)
    # The client logs each failed attempt with its traceback; the chassis tells it in one line.
    for name in ("aiormq", "aio_pika", "asyncio"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
