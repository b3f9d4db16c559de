"""Strategies: stored, configured, switched on and off while everything runs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from contracts.envelope import Draft
from contracts.events.strategy import (
    StrategyActivated,
    StrategyConfigured,
    StrategyCreated,
    StrategyDeactivated,
    StrategyDeleted,
)
from contracts.policies import BadParameters, validate_parameters
from services.gateway.decide import names
from services.gateway.decide.plain import Plain
from services.gateway.decide.verdicts import CREATED, Decision, Denial, Given, Verdict, unknown
from services.gateway.state import stream_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from contracts.http.strategies import NewStrategy, StrategyChanges
    from services.gateway.state import State, Subject

KIND: Final = "strategy"


@dataclass(frozen=True)
class CreateStrategy(Plain):
    """POST /scheduling-strategies."""

    new: NewStrategy

    def touches(self, state: State) -> tuple[str, ...]:
        """Return the name's stream."""
        del state
        return (names.name_stream(KIND, self.new.name),)

    def decide(self, state: State, given: Given) -> Verdict:
        """Claim the name, store the strategy with parameters that its policy knows."""
        new, policy = self.new, self.new.policy or self.new.name
        parameters = _without_defaults(new.parameters)
        if (wrong := _does_not_fit(policy, parameters)) is not None:
            return wrong
        id_ = f"str-{given.fresh}"
        claimed = names.claim(state, KIND, new.name, id_)
        if isinstance(claimed, Denial):
            return claimed
        event = StrategyCreated(
            strategy_id=id_,
            name=new.name,
            policy=policy,
            description=new.description,
            parameters=parameters,
            order=new.order,
            active=new.active,
        )
        created = Draft(stream_of(KIND, id_), event, expected_version=0)
        return Decision((*claimed, created), CREATED, shows=(KIND, id_))


@dataclass(frozen=True)
class _OnStrategy(Plain):
    strategy_id: str

    def touches(self, state: State) -> tuple[str, ...]:
        """Return the strategy's stream."""
        del state
        return (stream_of(KIND, self.strategy_id),)


@dataclass(frozen=True)
class ConfigureStrategy(_OnStrategy):
    """PUT or PATCH /scheduling-strategies/{id}."""

    changes: StrategyChanges

    def decide(self, state: State, given: Given) -> Verdict:
        """Change what was sent; parameters one by one, null back to the default."""
        del given
        known = state.find(KIND, self.strategy_id)
        if known is None:
            return unknown(KIND, self.strategy_id)
        sent = self.changes.given()
        merged = {**known.data["parameters"], **sent.get("parameters", {})}
        changed = {**known.data, **sent, "parameters": _without_defaults(merged)}
        if (wrong := _does_not_fit(changed["policy"], changed["parameters"])) is not None:
            return wrong
        shown: Subject = (KIND, self.strategy_id)
        if changed == known.data:
            return Decision((), shows=shown)
        event = StrategyConfigured(
            strategy_id=self.strategy_id,
            description=changed["description"],
            parameters=changed["parameters"],
            order=changed["order"],
        )
        stream = stream_of(*shown)
        draft = Draft(stream, event, expected_version=state.version_of(stream))
        return Decision((draft,), shows=shown)


@dataclass(frozen=True)
class SwitchStrategy(_OnStrategy):
    """POST /scheduling-strategies/{id}/activate or /deactivate; once more changes nothing."""

    active: bool

    def decide(self, state: State, given: Given) -> Verdict:
        """Switch it, unless it is so already."""
        del given
        known = state.find(KIND, self.strategy_id)
        if known is None:
            return unknown(KIND, self.strategy_id)
        shown: Subject = (KIND, self.strategy_id)
        if known.data["active"] == self.active:
            return Decision((), shows=shown)
        switched = StrategyActivated if self.active else StrategyDeactivated
        stream, event = stream_of(*shown), switched(strategy_id=self.strategy_id)
        draft = Draft(stream, event, expected_version=state.version_of(stream))
        return Decision((draft,), shows=shown)


@dataclass(frozen=True)
class DeleteStrategy(_OnStrategy):
    """DELETE /scheduling-strategies/{id}."""

    def decide(self, state: State, given: Given) -> Verdict:
        """Delete it and free its name."""
        del given
        known = state.find(KIND, self.strategy_id)
        if known is None:
            return unknown(KIND, self.strategy_id)
        stream = stream_of(KIND, self.strategy_id)
        event = StrategyDeleted(strategy_id=self.strategy_id)
        deleted = Draft(stream, event, expected_version=state.version_of(stream))
        return Decision(
            (deleted, *names.release(state, KIND, known.data["name"])),
            answer={"id": self.strategy_id, "deleted": True},
        )


def _without_defaults(parameters: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in parameters.items() if value is not None}


def _does_not_fit(policy: str, parameters: Mapping[str, Any]) -> Denial | None:
    try:
        validate_parameters(policy, parameters)
    except BadParameters as error:
        errors = tuple(
            {"field": _named(place), "message": message} for place, message in error.problems
        )
        return Denial("refused", str(error), errors=errors)
    return None


def _named(place: str) -> str:
    return place if place == "policy" or place.startswith("parameters") else f"parameters.{place}"
