"""Environments: the walls between teams and stages."""

from typing import Literal

from contracts.envelope import Event
from contracts.types import EnvironmentId, Id, Name, Text


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


class EnvironmentJoined(Event):
    """A model or a node moved in, so that nobody deletes the environment without having seen it.

    It is recorded together with what it tells of. Moving out leaves no such mark: whoever deletes
    an environment that is emptier than they know is right all the same.
    """

    type = "environment.joined"
    environment_id: EnvironmentId
    kind: Literal["model", "node"]
    member_id: Id


class EnvironmentDeleted(Event):
    """An environment is gone."""

    type = "environment.deleted"
    environment_id: EnvironmentId
