"""Moving into an environment: said on its own stream, so that it cannot be deleted meanwhile."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from contracts.envelope import Draft
from contracts.events.environment import EnvironmentJoined
from services.gateway.decide.verdicts import Denial, unknown
from services.gateway.state import stream_of

if TYPE_CHECKING:
    from services.gateway.state import State


def join(
    state: State, environment_id: str, kind: Literal["model", "node"], member_id: str
) -> tuple[Draft, ...] | Denial:
    """Return the draft that goes with whatever moves in, or that there is no such environment.

    It stands on the environment's version, and so does its deletion: of the two the journal takes
    one, and who comes second decides again.
    """
    if state.find("environment", environment_id) is None:
        return unknown("environment", environment_id, "environment_id")
    stream = stream_of("environment", environment_id)
    event = EnvironmentJoined(environment_id=environment_id, kind=kind, member_id=member_id)
    return (Draft(stream, event, expected_version=state.version_of(stream)),)


def move(
    state: State, old: str, new: str, kind: Literal["model", "node"], member_id: str
) -> tuple[Draft, ...] | Denial:
    """Return the draft that goes with a change of environment; none when it is the same."""
    return () if old == new else join(state, new, kind, member_id)
