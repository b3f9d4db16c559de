"""Nodes: registered, changed, deleted; and what is asked of them by hand."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from contracts.envelope import Draft
from contracts.events.node import NodeDeleted, NodeRegistered, NodeUpdated, ProcessKillAsked
from services.gateway.decide import joining, names
from services.gateway.decide.plain import Plain
from services.gateway.decide.verdicts import (
    CREATED,
    TAKEN_ON,
    Decision,
    Denial,
    Given,
    Verdict,
    unknown,
)
from services.gateway.state import stream_of

if TYPE_CHECKING:
    from contracts.http.nodes import NewNode, NodeChanges
    from services.gateway.state import State, Subject

KIND: Final = "node"


@dataclass(frozen=True)
class RegisterNode(Plain):
    """POST /nodes."""

    new: NewNode

    def touches(self, state: State) -> tuple[str, ...]:
        """Return the environment's stream and the name's."""
        del state
        environment = stream_of("environment", self.new.environment_id)
        return (environment, names.name_stream(KIND, self.new.name))

    def decide(self, state: State, given: Given) -> Verdict:
        """Move in, claim the name, register the node."""
        id_ = f"nod-{given.fresh}"
        joined = joining.join(state, self.new.environment_id, KIND, id_)
        if isinstance(joined, Denial):
            return joined
        claimed = names.claim(state, KIND, self.new.name, id_)
        if isinstance(claimed, Denial):
            return claimed
        event = NodeRegistered.model_validate({"node_id": id_, **self.new.model_dump()})
        registered = Draft(stream_of(KIND, id_), event, expected_version=0)
        return Decision((*joined, *claimed, registered), CREATED, shows=(KIND, id_))


@dataclass(frozen=True)
class ChangeNode(Plain):
    """PUT or PATCH /nodes/{id}."""

    node_id: str
    changes: NodeChanges

    def touches(self, state: State) -> tuple[str, ...]:
        """Return the node's stream, and those of a new name and environment."""
        del state
        sent = self.changes.given()
        named = (names.name_stream(KIND, sent["name"]),) if "name" in sent else ()
        moved = sent.get("environment_id")
        extra = (stream_of("environment", moved),) if moved else ()
        return (stream_of(KIND, self.node_id), *named, *extra)

    def decide(self, state: State, given: Given) -> Verdict:
        """Change what was sent and nothing else; nothing sent, nothing recorded."""
        del given
        known = state.find(KIND, self.node_id)
        if known is None:
            return unknown(KIND, self.node_id)
        event = NodeUpdated.model_validate({**known.data, **self.changes.given()})
        old, new = known.data["environment_id"], event.environment_id
        moved = joining.move(state, old, new, KIND, self.node_id)
        if isinstance(moved, Denial):
            return moved
        shown: Subject = (KIND, self.node_id)
        if event == NodeUpdated.model_validate(known.data):
            return Decision((), shows=shown)
        renamed = names.rename(state, KIND, known.data["name"], event.name, self.node_id)
        if isinstance(renamed, Denial):
            return renamed
        stream = stream_of(*shown)
        updated = Draft(stream, event, expected_version=state.version_of(stream))
        return Decision((*moved, *renamed, updated), shows=shown)


@dataclass(frozen=True)
class DeleteNode(Plain):
    """DELETE /nodes/{id}. force: although workers are known to run there."""

    node_id: str
    force: bool = False

    def touches(self, state: State) -> tuple[str, ...]:
        """Return the node's stream."""
        del state
        return (stream_of(KIND, self.node_id),)

    def decide(self, state: State, given: Given) -> Verdict:
        """Delete it and free its name, unless something runs on it."""
        del given
        known = state.find(KIND, self.node_id)
        if known is None:
            return unknown(KIND, self.node_id)
        running = sorted(each.instance_id for each in state.on_node(self.node_id))
        if running and not self.force:
            detail = f"{len(running)} instances run on it; stop them first, or say force=true"
            return Denial("conflict", detail, numbers={"instances": running[:50]})
        stream = stream_of(KIND, self.node_id)
        environment = known.data["environment_id"]
        event = NodeDeleted(node_id=self.node_id, environment_id=environment)
        deleted = Draft(stream, event, expected_version=state.version_of(stream))
        return Decision(
            (deleted, *names.release(state, KIND, known.data["name"])),
            answer={"id": self.node_id, "deleted": True},
        )


@dataclass(frozen=True)
class KillProcessOnNode(Plain):
    """POST /nodes/{id}/processes/{pid}/kill; the deployer asks the agent."""

    node_id: str
    pid: int

    def touches(self, state: State) -> tuple[str, ...]:
        """Return the node's stream."""
        del state
        return (stream_of(KIND, self.node_id),)

    def decide(self, state: State, given: Given) -> Verdict:
        """Record that it was asked."""
        del given
        if state.find(KIND, self.node_id) is None:
            return unknown(KIND, self.node_id)
        event = ProcessKillAsked(node_id=self.node_id, pid=self.pid)
        asked = Draft(f"process/{self.node_id}", event)
        return Decision((asked,), TAKEN_ON, answer={"node_id": self.node_id, "pid": self.pid})
