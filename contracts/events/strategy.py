"""Strategies: which policies decide, in which order, with which parameters."""

from pydantic import Field

from contracts.envelope import Event
from contracts.types import Count, Id, Name, Scalar, StrategyId, Text


class StrategyCreated(Event):
    """A strategy is stored."""

    type = "strategy.created"
    strategy_id: StrategyId
    name: Name
    policy: Id
    description: Text = ""
    parameters: dict[str, Scalar] = Field(default_factory=dict)
    order: Count = 0
    active: bool = False


class StrategyConfigured(Event):
    """A strategy's parameters, order or description are these now."""

    type = "strategy.configured"
    strategy_id: StrategyId
    description: Text = ""
    parameters: dict[str, Scalar] = Field(default_factory=dict)
    order: Count = 0


class StrategyActivated(Event):
    """A strategy decides from here on."""

    type = "strategy.activated"
    strategy_id: StrategyId


class StrategyDeactivated(Event):
    """A strategy decides no longer."""

    type = "strategy.deactivated"
    strategy_id: StrategyId


class StrategyDeleted(Event):
    """A strategy is gone."""

    type = "strategy.deleted"
    strategy_id: StrategyId
