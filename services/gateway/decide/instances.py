"""Instances by hand: a start is asked of the scheduler, which places and pins it; so is a stop."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from contracts.envelope import Draft
from contracts.events.instance import InstanceStartAsked, InstanceStopAsked
from services.gateway.decide.plain import Plain
from services.gateway.decide.verdicts import TAKEN_ON, Decision, Denial, Given, Verdict, unknown
from services.gateway.state import stream_of

if TYPE_CHECKING:
    from contracts.http.models import StartModel, StopModel
    from services.gateway.state import Entity, Instance, State


@dataclass(frozen=True)
class StartOnNode(Plain):
    """POST /nodes/{id}/models/start."""

    node_id: str
    start: StartModel

    def touches(self, state: State) -> tuple[str, ...]:
        """Return the node's stream."""
        del state
        return (stream_of("node", self.node_id),)

    def decide(self, state: State, given: Given) -> Verdict:
        """Record that it was asked, if the model is the node's to serve and the GPU permitted."""
        node = state.find("node", self.node_id)
        if node is None:
            return unknown("node", self.node_id)
        model_id = self._model(state, node)
        if isinstance(model_id, Denial):
            return model_id
        if (denial := self._gpu_denied(state, node)) is not None:
            return denial
        ask_id = f"ask-{given.fresh}"
        event = InstanceStartAsked(
            ask_id=ask_id,
            model_id=model_id,
            node_id=self.node_id,
            gpu_index=self.start.gpu_id,
            config=self.start.config,
        )
        answer = {
            "ask_id": ask_id,
            "model_id": model_id,
            "node_id": self.node_id,
            "gpu_id": self.start.gpu_id,
        }
        asked = Draft(f"ask/{ask_id}", event, expected_version=0)
        return Decision((asked,), TAKEN_ON, answer=answer)

    def _model(self, state: State, node: Entity) -> str | Denial:
        named, name = self.start.model_id, self.start.model_name
        if named is not None:
            is_known = state.find("model", named) is not None
            return named if is_known else unknown("model", named, "model_id")
        if name is None:
            return Denial("refused", "model_id or model_name is wanted", "model_id")
        for id_ in state.within("model", node.data["environment_id"]):
            if state.entities["model"][id_].data["name"] == name:
                return id_
        hint = f"the node's environment has no model {name}; model_id may name any model"
        return Denial("refused", hint, "model_name")

    def _gpu_denied(self, state: State, node: Entity) -> Denial | None:
        index = self.start.gpu_id
        if index is None:
            return None
        if index not in node.data["available_gpu_ids"]:
            allowed = ", ".join(map(str, node.data["available_gpu_ids"])) or "none"
            return Denial("refused", f"available_gpu_ids of this node: {allowed}", "gpu_id")
        if index not in state.gpu_indices.get(self.node_id, {index}):
            return Denial("refused", f"the node reports no GPU {index}", "gpu_id")
        return None


@dataclass(frozen=True)
class StopOnNode(Plain):
    """POST /nodes/{id}/models/stop."""

    node_id: str
    stop: StopModel

    def touches(self, state: State) -> tuple[str, ...]:
        """Return the node's stream."""
        del state
        return (stream_of("node", self.node_id),)

    def decide(self, state: State, given: Given) -> Verdict:
        """Record that it was asked, once it is plain which instance is meant."""
        del given
        if state.find("node", self.node_id) is None:
            return unknown("node", self.node_id)
        meant = self._meant(state)
        if isinstance(meant, Denial):
            return meant
        event = InstanceStopAsked(instance_id=meant.instance_id, node_id=self.node_id)
        answer = {
            "instance_id": meant.instance_id,
            "model_id": meant.model_id,
            "node_id": self.node_id,
            "gpu_id": meant.gpu_index,
        }
        asked = Draft(stream_of("instance", meant.instance_id), event)
        return Decision((asked,), TAKEN_ON, answer=answer)

    def _meant(self, state: State) -> Instance | Denial:
        wanted = self.stop
        if wanted.instance_id is None and wanted.model_name is None:
            return Denial("refused", "instance_id or model_name is wanted", "instance_id")
        found = [
            each
            for each in state.on_node(self.node_id)
            if wanted.instance_id in {None, each.instance_id}
            and wanted.model_name in {None, each.model_name}
            and wanted.gpu_id in {None, each.gpu_index}
        ]
        if not found:
            return Denial("not_found", "no such instance runs on this node")
        if len(found) > 1:
            where = sorted(each.gpu_index for each in found)
            detail = f"it runs on several GPUs: {', '.join(map(str, where))}"
            return Denial("refused", detail, "gpu_id")
        return found[0]
