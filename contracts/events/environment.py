"""Environments: the walls between teams and stages."""

from contracts.envelope import Event
from contracts.types import EnvironmentId, Name, Text


class EnvironmentCreated(Event):
    """An environment exists."""

    type = "environment.created"
    environment_id: EnvironmentId
    name: Name
    description: Text = ""


class EnvironmentUpdated(Event):
    """An environment has these properties now."""

    type = "environment.updated"
    environment_id: EnvironmentId
    name: Name
    description: Text = ""


class EnvironmentDeleted(Event):
    """An environment is gone."""

    type = "environment.deleted"
    environment_id: EnvironmentId
