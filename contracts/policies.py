"""What the parameters of each policy may be: the gateway checks them, the scheduler obeys."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

if TYPE_CHECKING:
    from collections.abc import Mapping

WEIGHT = "weight."
LONGEST_S = 3600.0

Duration = Annotated[float, Field(gt=0, le=LONGEST_S, allow_inf_nan=False)]
Weight = Annotated[float, Field(ge=0, le=1e6, allow_inf_nan=False)]


class BadParameters(ValueError):
    """A strategy's parameters do not fit its policy; `problems` are (field, message)."""

    def __init__(self, problems: list[tuple[str, str]]) -> None:
        self.problems = problems
        super().__init__("; ".join(f"{field}: {message}" for field, message in problems))


class BusyQueueScaling(BaseModel):
    """The parameters of `busy_queue_scaling`; `weight.<model_id>` ranks a model higher."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    window_s: Duration = Field(
        default=300.0,
        description="How far back the mean length looks; shorter reacts faster.",
    )
    busy_threshold_s: Annotated[float, Field(ge=0, allow_inf_nan=False)] = Field(
        default=30.0, description="A model is busy when its queued work takes longer than this."
    )
    idle_s: Duration = Field(
        default=300.0, description="A model without a request for this long may be replaced."
    )
    stale_s: Duration = Field(
        default=180.0, description="Older samples say nothing; three sampling intervals is sane."
    )
    scale_out: bool = Field(
        default=True, description="Give GPUs that stay free to further instances of busy models."
    )
    retry_base_s: Duration = Field(
        default=10.0, description="The first wait after a failed start; doubled up to 5 minutes."
    )
    weights: dict[str, Weight] = Field(
        default_factory=dict, description="By model id, from `weight.<model_id>`; others weigh 1."
    )

    @model_validator(mode="before")
    @classmethod
    def _gather_weights(cls, given: dict[str, Any]) -> dict[str, Any]:
        weights = {
            key.removeprefix(WEIGHT): value
            for key, value in given.items()
            if key.startswith(WEIGHT)
        }
        rest = {key: value for key, value in given.items() if not key.startswith(WEIGHT)}
        return {**rest, "weights": weights} if weights else rest


PARAMETERS: dict[str, type[BaseModel]] = {
    "busy_queue_scaling": BusyQueueScaling,
}


def validate_parameters(policy: str, parameters: Mapping[str, Any]) -> BaseModel:
    """Return a policy's parameters, defaults filled in; raises BadParameters naming the field."""
    model = PARAMETERS.get(policy)
    if model is None:
        known = ", ".join(PARAMETERS)
        raise BadParameters([("policy", f"there is no policy {policy}; there are: {known}")])
    try:
        return model.model_validate(dict(parameters))
    except ValidationError as error:
        raise BadParameters(
            [
                (".".join(str(part) for part in problem["loc"]) or "parameters", problem["msg"])
                for problem in error.errors(include_url=False, include_input=False)
            ]
        ) from None
