"""Rebuilds: an order to make read models anew from history; the projector carries it out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from contracts.envelope import Draft
from contracts.events.control import RebuildAsked
from contracts.read_models import READ_MODELS
from services.gateway.decide.plain import Plain
from services.gateway.decide.verdicts import TAKEN_ON, Decision, Denial, Given, Verdict

if TYPE_CHECKING:
    from contracts.http.rebuilds import NewRebuild
    from services.gateway.state import State

KIND: Final = "rebuild"


@dataclass(frozen=True)
class AskRebuild(Plain):
    """POST /rebuilds."""

    new: NewRebuild

    def touches(self, state: State) -> tuple[str, ...]:
        """Return nothing: an order is a stream of its own."""
        del state
        return ()

    def decide(self, state: State, given: Given) -> Verdict:
        """Record the order, if all it names are read models."""
        del state
        if strange := [name for name in self.new.models if name not in READ_MODELS]:
            there_are = ", ".join(sorted(READ_MODELS))
            detail = f"there is no read model {', '.join(strange)}; there are {there_are}"
            return Denial("refused", detail, "models")
        models = tuple(dict.fromkeys(self.new.models))
        id_ = f"reb-{given.fresh}"
        event = RebuildAsked(rebuild_id=id_, models=models, only_compare=self.new.only_compare)
        draft = Draft(f"{KIND}/{id_}", event, expected_version=0)
        return Decision((draft,), TAKEN_ON, answer={"rebuild_id": id_, "models": list(models)})
