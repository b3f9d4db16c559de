"""Cursors: the key that the next page begins after, and the position of the past it stays at."""

from __future__ import annotations

from base64 import b64decode, urlsafe_b64encode
from binascii import Error as NotBase64
from dataclasses import dataclass

from services.chassis.errors import Refused
from services.query.routes.as_of import LAST_POSITION

_PIN = "~"


@dataclass(frozen=True, slots=True)
class Cursor:
    """Where a page begins; pinned: the position that the pages before it were read as of."""

    key: str
    pinned: int | None = None

    def __str__(self) -> str:
        key = urlsafe_b64encode(self.key.encode()).decode().rstrip("=")
        return key if self.pinned is None else f"{self.pinned}{_PIN}{key}"


def cursor_of(said: str | None, *, numbered: bool) -> Cursor | None:
    """Return what a cursor says; numbered: its list's order is by position.

    Raises Refused at what is none of ours.
    """
    if said is None:
        return None
    pin, pinned, encoded = said.rpartition(_PIN)
    if pinned and not _is_position(pin):
        raise _bad()
    try:
        key = b64decode(encoded + "=" * (-len(encoded) % 4), b"-_", validate=True).decode()
    except (NotBase64, ValueError) as error:
        raise _bad() from error
    if "\0" in key or (numbered and not _is_position(key)):
        raise _bad()
    return Cursor(key, int(pin) if pinned else None)


def _is_position(text: str) -> bool:
    return (
        text.isascii()
        and text.isdigit()
        and len(text) <= len(str(LAST_POSITION))
        and int(text) <= LAST_POSITION
    )


def _bad() -> Refused:
    return Refused("not a cursor of this list: send next_cursor of an earlier page", field="cursor")
