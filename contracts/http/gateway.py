"""What every answer of the gateway's v1 API looks like, and what its bodies have in common."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
    model_validator,
)

from contracts.types import Moment, Scalar

# What earlier clients send back as they read it; it is theirs to send and ours to set.
READ_ONLY = frozenset({"id", "created_at", "updated_at", "version"})


def _no_truth(value: Any) -> Any:
    if isinstance(value, bool):
        raise ValueError("a number is wanted, not true or false")  # noqa: TRY004 (pydantic's way)
    return value


NotBool = BeforeValidator(_no_truth)
NewName = Annotated[
    str,
    StringConstraints(
        strip_whitespace=True, min_length=1, max_length=128, pattern=r"^[^\x00-\x1f\x7f]+$"
    ),
]
Description = Annotated[str, StringConstraints(max_length=2000, pattern=r"^[^\x00]*$")]
Whole = Annotated[int, NotBool, Field(ge=0, le=2**53)]
PortNumber = Annotated[int, NotBool, Field(ge=1, le=65535)]
Key = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_.:@-]+$", max_length=128)]
Text = Annotated[str, StringConstraints(max_length=2000)]
Parameters = Annotated[
    dict[Key, Annotated[Scalar, Field(union_mode="left_to_right")]], Field(max_length=100)
]


class Body(BaseModel):
    """What people send: unknown fields are refused, and no error quotes what was sent."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    @model_validator(mode="before")
    @classmethod
    def _without_what_is_read_only(cls, given: Any) -> Any:
        if not isinstance(given, Mapping):
            return given
        ignored = READ_ONLY - cls.model_fields.keys()
        return {name: value for name, value in given.items() if name not in ignored}


class Changes(Body):
    """What people send to change something: only the fields that are there are changed."""

    def given(self) -> dict[str, Any]:
        """Return the fields that were sent, by name."""
        return {name: getattr(self, name) for name in self.model_fields_set}


class FieldError(BaseModel):
    """One field and what is wrong with it."""

    field: str
    message: str


class AsOf(BaseModel):
    """The point of the past that an answer is of.

    telemetry: whether what nodes and queues said then is still kept; where it is dropped, the
    figures that came of it are null and samples are missing. What was recorded as a fact is whole.
    """

    position: int
    recorded_at: Moment
    telemetry: Literal["kept", "dropped"]


class Envelope(BaseModel):
    """Around every answer of /api/v1. `position`: the log's position it holds for, if any.

    as_of: there when the past was asked for.
    """

    success: bool = True
    code: int = 200
    message: str = "ok"
    data: Any = None
    position: int | None = None
    as_of: AsOf | None = None
    timestamp: Moment


class ErrorEnvelope(Envelope):
    """Around every refusal of /api/v1: the members of RFC 9457 stand beside the envelope's."""

    success: bool = False
    type: str
    title: str
    status: int
    detail: str
    instance: str
    errors: tuple[FieldError, ...] = ()
    trace_id: str
