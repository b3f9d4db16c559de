"""Structured log lines, with whatever looks like a secret taken out."""

from __future__ import annotations

import logging
import re
import sys
from typing import TYPE_CHECKING, Any

import orjson
import structlog

if TYPE_CHECKING:
    from structlog.typing import EventDict, WrappedLogger

HIDDEN = "***"
SECRET_NAMES = re.compile(
    r"password|secret_value|token|authorization|api_key|private_key", re.IGNORECASE
)
SECRET_TEXTS = re.compile(r"(?<=://)([^/\s:@]*):([^/\s@]+)(?=@)")


def redact(_: WrappedLogger, __: str, entry: EventDict) -> EventDict:
    """Hide values named like secrets, and passwords inside of URLs."""
    for name, value in entry.items():
        if SECRET_NAMES.search(name):
            entry[name] = HIDDEN
        elif isinstance(value, str):
            entry[name] = SECRET_TEXTS.sub(rf"\1:{HIDDEN}", value)
    return entry


def _as_json(entry: Any, **_: Any) -> str:
    return orjson.dumps(entry, default=str).decode()


def configure(service: str, level: str) -> None:
    """Write lines to stderr: for people on a terminal, as JSON elsewhere."""
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
            *([] if for_people else [structlog.processors.format_exc_info]),
            redact,
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
