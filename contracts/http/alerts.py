"""Alert rules and silences as people send them; and what an Alertmanager is sent."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from contracts.http.gateway import Body, Changes, Key, NotBool, Text
from contracts.types import Id, Moment, Name

Number = Annotated[float, NotBool, Field(allow_inf_nan=False)]


class RuleChanges(Changes):
    """PUT or PATCH /alerts/rules/{rule}; a limit that is null is as it was at first."""

    enabled: bool = True
    limits: Annotated[dict[Key, Number | None], Field(max_length=20)] = Field(default_factory=dict)


class NewSilence(Body):
    """POST /alerts/silences: of one rule, about one subject, of both, or of everything."""

    until: Moment
    because: Text = ""
    rule: Id | None = None
    subject: Name | None = None


class PostableAlert(BaseModel):
    """One alert of `POST /api/v2/alerts`; the labels are what it is known by.

    endsAt: when it ended, or until when it is believed to last unless it is sent again.
    """

    model_config = ConfigDict(frozen=True)

    labels: dict[str, str]
    annotations: dict[str, str]
    startsAt: Moment  # noqa: N815 (Alertmanager's name)
    endsAt: Moment  # noqa: N815
