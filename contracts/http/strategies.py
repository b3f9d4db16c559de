"""Scheduling strategies as people send them."""

from __future__ import annotations

from pydantic import AliasChoices, Field

from contracts.http.gateway import Body, Changes, Description, NewName, Parameters, Whole
from contracts.types import Id


class NewStrategy(Body):
    """POST /scheduling-strategies; `config` and `is_active` are the first platform's names."""

    name: NewName
    policy: Id | None = Field(
        default=None, description="The policy it configures; its name when left out."
    )
    description: Description = ""
    parameters: Parameters = Field(
        default_factory=dict, validation_alias=AliasChoices("parameters", "config")
    )
    order: Whole = 0
    active: bool = Field(default=False, validation_alias=AliasChoices("active", "is_active"))


class StrategyChanges(Changes):
    """PUT or PATCH /scheduling-strategies/{id}; parameters that are left out keep their value.

    A parameter that is null goes back to its default.
    """

    description: Description = ""
    parameters: Parameters = Field(
        default_factory=dict, validation_alias=AliasChoices("parameters", "config")
    )
    order: Whole = 0
