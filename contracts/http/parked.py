"""What admins say about parked messages."""

from __future__ import annotations

from typing import Annotated

from pydantic import StringConstraints

from contracts.http.gateway import Body

Because = Annotated[
    str,
    StringConstraints(
        strip_whitespace=True, min_length=1, max_length=1000, pattern=r"^[^\x00-\x1f\x7f]+$"
    ),
]


class DropParked(Body):
    """POST /parked/{id}/drop: the reason stands in the log for ever."""

    because: Because
