"""The last lines of dead workers' logs, left out of an answer for who may not read logs."""

from __future__ import annotations

from typing import Any

import orjson

LOG_TAIL = "log_tail"
_MARK = b'"%b"' % LOG_TAIL.encode()


def without_log_tails(content: bytes) -> bytes:
    """Return JSON without any log's lines; bytes that hold none are returned as they are."""
    if _MARK not in content:
        return content
    return orjson.dumps(_without(orjson.loads(content)))


def _without(said: Any) -> Any:
    if isinstance(said, list):
        return [_without(each) for each in said]
    if isinstance(said, dict):
        return {name: _without(each) for name, each in said.items() if name != LOG_TAIL}
    return said
