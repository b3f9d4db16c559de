"""Connections that can be cut: a reader who takes nothing keeps nothing of ours.

Nor does who never says what is wanted: a request's head must come whole within some seconds, and
an answer must be taken at a pace that the poorest line has.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

    from starlette.types import Receive, Scope, Send

_ABORT = "quartermaster.abort"
HEAD_S = 15.0
# Judged once a minute, so that who pauses a download for a moment is not cut.
TAKE_S = 60.0
LEAST_BYTES_S = 1024


def abort(scope: Scope) -> None:
    """Cut a request's connection at once, with what was not sent yet; elsewhere than here: no-op.

    Ending the answer is not enough: the server would wait until the reader took the rest.
    """
    cut: Callable[[], None] | None = scope.get("extensions", {}).get(_ABORT)
    if cut is not None:
        cut()


def _cuttable(app: Any, transport: asyncio.Transport) -> Any:
    async def with_abort(scope: Scope, receive: Receive, send: Send) -> None:
        scope.setdefault("extensions", {})[_ABORT] = transport.abort
        await app(scope, receive, send)

    return with_abort


class CuttableHttp(HttpToolsProtocol):
    """HTTP/1.1 whose connections can be cut.

    They are when a request does not begin in time, and when an answer is not taken: while a
    reader is behind nothing is written, so that what waits for it can only shrink.
    """

    _late: asyncio.TimerHandle | None = None
    _untaken: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Tell every request on this connection how to cut it."""
        super().connection_made(transport)
        self.app = _cuttable(self.app, transport)
        self._await_head()

    def on_message_begin(self) -> None:
        """Wait for the rest of a head."""
        super().on_message_begin()
        self._await_head()

    def on_headers_complete(self) -> None:
        """Wait no more: bodies have a time of their own."""
        self._stop_waiting()
        super().on_headers_complete()

    def pause_writing(self) -> None:
        """Let the reader take what it was given, at the least pace."""
        super().pause_writing()
        self._await_taking()

    def resume_writing(self) -> None:
        """Wait no more for this reader."""
        self._stop_watching()
        super().resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait no more."""
        self._stop_waiting()
        self._stop_watching()
        super().connection_lost(exc)

    def _await_taking(self) -> None:
        waiting = self.transport.get_write_buffer_size()
        self._untaken = self.loop.call_later(TAKE_S, self._judge, waiting)

    def _judge(self, before: int) -> None:
        if before - self.transport.get_write_buffer_size() < TAKE_S * LEAST_BYTES_S:
            self.transport.abort()
        else:
            self._await_taking()

    def _stop_watching(self) -> None:
        if self._untaken is not None:
            self._untaken.cancel()
            self._untaken = None

    def _await_head(self) -> None:
        self._stop_waiting()
        self._late = self.loop.call_later(HEAD_S, self.transport.abort)

    def _stop_waiting(self) -> None:
        if self._late is not None:
            self._late.cancel()
            self._late = None


class CuttableWebSockets(WebSocketsSansIOProtocol):
    """WebSockets whose connections can be cut."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Tell the application how to cut it."""
        super().connection_made(transport)
        self.app = _cuttable(self.app, transport)
