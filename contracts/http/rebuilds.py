"""Rebuilds of read models as people order them."""

from __future__ import annotations

from pydantic import Field

from contracts.http.gateway import Body
from contracts.types import Id


class NewRebuild(Body):
    """POST /rebuilds; no models: all of them."""

    models: tuple[Id, ...] = Field(
        default=(), max_length=100, description="The read models to make anew; none: all of them."
    )
    only_compare: bool = Field(
        default=False, description="Compare them with what is live, then drop them: a verification."
    )
