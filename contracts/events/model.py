"""Models: what is served, from which queue, and whether its floor is met."""

from typing import Annotated

from pydantic import Field

from contracts.envelope import Event
from contracts.types import (
    Count,
    EnvironmentId,
    Launch,
    ModelId,
    Name,
    OnLostControl,
    QueueAddress,
    Reason,
    Text,
)


class _ModelProperties(Event):
    model_id: ModelId
    environment_id: EnvironmentId
    name: Name
    description: Text = ""
    queue: QueueAddress
    average_inference_time_s: Annotated[float, Field(gt=0, allow_inf_nan=False)]
    launch: Launch
    min_instances: Count = 1
    max_instances: Annotated[int, Field(ge=1)] = 1
    on_lost_control: OnLostControl = "serve"


class ModelRegistered(_ModelProperties):
    """A model is to be served."""

    type = "model.registered"


class ModelUpdated(_ModelProperties):
    """A model has these properties now."""

    type = "model.updated"


class ModelDeleted(Event):
    """A model is to be served no longer."""

    type = "model.deleted"
    model_id: ModelId
    environment_id: EnvironmentId | None = None


class ModelFloorUnmet(Event):
    """A model has fewer instances than its floor, and this is why."""

    type = "model.floor_unmet"
    model_id: ModelId
    instances: Count
    floor: Count
    reason: Reason


class ModelFloorMet(Event):
    """A model has at least as many ready instances as its floor again."""

    type = "model.floor_met"
    model_id: ModelId
    instances: Count
    floor: Count


class ModelDeferred(Event):
    """A model wants an instance and gets none now; recorded when the reason changes."""

    type = "model.deferred"
    model_id: ModelId
    reason: Reason
