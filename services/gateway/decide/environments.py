"""Environments: created, changed, and deleted once they are empty."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from contracts.envelope import Draft
from contracts.events.environment import (
    EnvironmentCreated,
    EnvironmentDeleted,
    EnvironmentUpdated,
)
from services.gateway.decide import names
from services.gateway.decide.plain import Plain
from services.gateway.decide.verdicts import CREATED, Decision, Denial, Given, Verdict, unknown
from services.gateway.state import stream_of

if TYPE_CHECKING:
    from contracts.http.environments import EnvironmentChanges, NewEnvironment
    from services.gateway.state import State, Subject

KIND: Final = "environment"


@dataclass(frozen=True)
class CreateEnvironment(Plain):
    """POST /environments."""

    new: NewEnvironment

    def touches(self, state: State) -> tuple[str, ...]:
        """Return the name's stream."""
        del state
        return (names.name_stream(KIND, self.new.name),)

    def decide(self, state: State, given: Given) -> Verdict:
        """Claim the name, create the environment."""
        id_ = f"env-{given.fresh}"
        claimed = names.claim(state, KIND, self.new.name, id_)
        if isinstance(claimed, Denial):
            return claimed
        event = EnvironmentCreated(
            environment_id=id_, name=self.new.name, description=self.new.description
        )
        created = Draft(stream_of(KIND, id_), event, expected_version=0)
        return Decision((*claimed, created), CREATED, shows=(KIND, id_))


@dataclass(frozen=True)
class ChangeEnvironment(Plain):
    """PUT or PATCH /environments/{id}."""

    environment_id: str
    changes: EnvironmentChanges

    def touches(self, state: State) -> tuple[str, ...]:
        """Return the environment's stream and its new name's."""
        del state
        named = self.changes.name
        extra = (names.name_stream(KIND, named),) if named else ()
        return (stream_of(KIND, self.environment_id), *extra)

    def decide(self, state: State, given: Given) -> Verdict:
        """Change what was sent and nothing else; nothing sent, nothing recorded."""
        del given
        known = state.find(KIND, self.environment_id)
        if known is None:
            return unknown(KIND, self.environment_id)
        changed = {**known.data, **self.changes.given()}
        shown: Subject = (KIND, self.environment_id)
        if changed == known.data:
            return Decision((), shows=shown)
        renamed = names.rename(
            state, KIND, known.data["name"], changed["name"], self.environment_id
        )
        if isinstance(renamed, Denial):
            return renamed
        event = EnvironmentUpdated.model_validate(changed)
        stream = stream_of(*shown)
        updated = Draft(stream, event, expected_version=state.version_of(stream))
        return Decision((*renamed, updated), shows=shown)


@dataclass(frozen=True)
class DeleteEnvironment(Plain):
    """DELETE /environments/{id}."""

    environment_id: str

    def touches(self, state: State) -> tuple[str, ...]:
        """Return the environment's stream; those who move in touch it too."""
        del state
        return (stream_of(KIND, self.environment_id),)

    def decide(self, state: State, given: Given) -> Verdict:
        """Delete it and free its name, unless models or nodes are in it."""
        del given
        known = state.find(KIND, self.environment_id)
        if known is None:
            return unknown(KIND, self.environment_id)
        models = state.within("model", self.environment_id)
        nodes = state.within("node", self.environment_id)
        if models or nodes:
            detail = f"it still has {len(models)} models and {len(nodes)} nodes"
            return Denial("conflict", detail, numbers={"models": models[:50], "nodes": nodes[:50]})
        event = EnvironmentDeleted(environment_id=self.environment_id)
        stream = stream_of(KIND, self.environment_id)
        deleted = Draft(stream, event, expected_version=state.version_of(stream))
        return Decision(
            (deleted, *names.release(state, KIND, known.data["name"])),
            answer={"id": self.environment_id, "deleted": True},
        )
