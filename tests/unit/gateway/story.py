"""Given, when, then for commands: what was recorded, what is asked, what is to be recorded."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

from contracts.http.environments import NewEnvironment
from contracts.http.models import NewModel
from contracts.http.nodes import NewNode
from contracts.types import Launch
from services.gateway.decide.environments import CreateEnvironment
from services.gateway.decide.models import RegisterModel
from services.gateway.decide.nodes import RegisterNode
from services.gateway.decide.verdicts import Decision, Denial, Given
from services.gateway.state import State
from tests.builders import Log

if TYPE_CHECKING:
    from contracts.envelope import Event
    from contracts.types import SecretRef
    from services.gateway.decide.verdicts import Command

LAUNCH = Launch(template="vllm", parameters={"model_path": "llama"})


class Story:
    """One story of the catalogue; what is decided is recorded and folded."""

    def __init__(self) -> None:
        self.state, self.log = State(), Log()
        self.verdict: Decision | Denial = Denial("refused", "nothing was asked")
        self._fresh = 0

    def given(self, *events: Event) -> Self:
        """Record what other services said."""
        for event in events:
            self.state.apply(self.log.record(event))
        return self

    def when(self, command: Command, secret: SecretRef | None = None) -> Self:
        """Decide; the state may not change by it, and deciding again says the same."""
        self._fresh += 1
        given = Given(f"{self._fresh:020d}", secret)
        before = repr(self.state)
        self.verdict = command.decide(self.state, given)
        assert command.decide(self.state, given) == self.verdict
        command.touches(self.state)
        assert repr(self.state) == before, "deciding changed the state"
        if isinstance(self.verdict, Decision):
            recorded = self.log.append(self.verdict.drafts)
            assert len(recorded) == len(self.verdict.drafts), "a version does not fit"
            for event in recorded:
                self.state.apply(event)
        return self

    def then(self, *types: type[Event]) -> Self:
        """Demand that exactly these were recorded, together and in this order."""
        assert isinstance(self.verdict, Decision), self.verdict
        assert [type(draft.event) for draft in self.verdict.drafts] == list(types)
        return self

    def then_denied(self, kind: str, about: str | None = None) -> Denial:
        """Demand a denial, and of which field."""
        assert isinstance(self.verdict, Denial), self.verdict
        assert (self.verdict.kind, self.verdict.about) == (kind, about), self.verdict
        return self.verdict

    def event(self, type_: type[Event]) -> Any:
        """Return the one recorded event of a type."""
        assert isinstance(self.verdict, Decision), self.verdict
        [event] = [d.event for d in self.verdict.drafts if isinstance(d.event, type_)]
        return event

    @property
    def shown(self) -> str:
        """The id of what was made or changed."""
        assert isinstance(self.verdict, Decision), self.verdict
        assert self.verdict.shows is not None
        return self.verdict.shows[1]

    def an_environment(self, name: str = "production") -> str:
        return self.when(CreateEnvironment(NewEnvironment(name=name))).shown

    def a_model(self, environment_id: str, **changes: Any) -> str:
        return self.when(RegisterModel(new_model(environment_id, **changes), LAUNCH)).shown

    def a_node(self, environment_id: str, **changes: Any) -> str:
        return self.when(RegisterNode(new_node(environment_id, **changes))).shown


def new_model(environment_id: str, **changes: Any) -> NewModel:
    fields = {
        "name": "llama",
        "environment_id": environment_id,
        "rabbitmq_host": "broker",
        "rabbitmq_queue_name": "llama",
        "rabbitmq_username": "worker",
        "average_inference_time": 2.0,
    }
    return NewModel.model_validate({**fields, **changes})


def new_node(environment_id: str, **changes: Any) -> NewNode:
    fields = {
        "name": "gpu-01",
        "environment_id": environment_id,
        "agent_url": "http://gpu-01:8090",
        "available_gpu_ids": [0, 1],
    }
    return NewNode.model_validate({**fields, **changes})
