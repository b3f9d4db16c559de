"""GET /explain/{kind}/{id}: why something is as it is, and what would have to be different."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from contracts.types import Count, Moment, Scalar

Kind = Literal["instance", "model", "node", "gpu"]
MAX_ALTERNATIVES = 5


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True)


class ReasonTold(_Part):
    """One reason: a sentence for people; code, numbers, position and moment for programs.

    recorded: it stands in the log at `position`. Otherwise it is what deciding says there.
    """

    code: str
    sentence: str
    numbers: dict[str, Scalar] = Field(default_factory=dict)
    position: Count
    at: Moment
    strategy: str | None = None
    recorded: bool = True


class AlternativeTold(_Part):
    """One candidate that lost, and why."""

    subject: str
    code: str
    sentence: str
    numbers: dict[str, Scalar] = Field(default_factory=dict)


class Change(_Part):
    """The one thing that is different: `field` of `subject` is `needed`, where it is `today`.

    needed is the smallest number that does it, found by trying. today of None: nothing is known.
    """

    subject: str
    field: str
    today: Scalar = None
    needed: Scalar = None
    unit: str = ""


class Effect(_Part):
    """What the scheduler does, once that one thing is different."""

    code: Literal["starts", "makes_room", "serves_again", "stops"]
    model_id: str
    instance_id: str | None = None
    node_id: str | None = None
    gpu_uuid: str | None = None


class Counterfactual(_Part):
    """What happens with exactly one thing different; told only when deciding again says so."""

    code: str
    sentence: str
    change: Change
    effect: Effect


class HistoryEntry(_Part):
    """One fact about it."""

    position: Count
    at: Moment
    type: str
    stream: str
    code: str | None = None
    sentence: str
    actor: str = ""


class Explanation(_Part):
    """All there is to say, the dominant reason first.

    position, at: what it holds for. rejected: how many GPUs were ruled out, by cause.
    tried: how many times it was decided again to find the counterfactuals. history: newest first;
    earlier_before: ask again with this `as_of` for what was before.
    """

    kind: Kind
    id: str
    name: str
    status: str
    position: Count
    at: Moment
    sentence: str
    reasons: tuple[ReasonTold, ...]
    alternatives: Annotated[tuple[AlternativeTold, ...], Field(max_length=MAX_ALTERNATIVES)] = ()
    rejected: dict[str, Count] = Field(default_factory=dict)
    counterfactuals: tuple[Counterfactual, ...] = ()
    tried: Count = 0
    history: tuple[HistoryEntry, ...] = ()
    earlier_before: Count | None = None
