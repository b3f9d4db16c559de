"""What a webhook receives: a CloudEvent 1.0 in structured JSON, signed as Standard Webhooks say."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from contracts.types import Moment

MEDIA_TYPE = "application/cloudevents+json"
SOURCE = "/quartermaster/alerter"


class AlertMessage(BaseModel):
    """One alert raised or resolved; `id`, in the header webhook-id too, is the same at every try.

    type: alert.raised or alert.resolved, data: the payload of that event; or alert.test.
    """

    model_config = ConfigDict(frozen=True)

    specversion: Literal["1.0"] = "1.0"
    id: str
    source: str = SOURCE
    type: str
    subject: str
    time: Moment
    datacontenttype: Literal["application/json"] = "application/json"
    data: dict[str, Any]
