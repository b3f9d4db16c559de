"""Alert rules and silences: what is worth an alert, and of what nobody is told for a while."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from contracts.alerts import RULES, BadLimits, check_limits
from contracts.envelope import Draft
from contracts.events.alert import AlertRuleConfigured, SilenceBegun, SilenceLifted
from services.gateway.decide.plain import Plain
from services.gateway.decide.verdicts import (
    CREATED,
    Decision,
    Denial,
    Given,
    Verdict,
    unknown,
)
from services.gateway.state import stream_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from contracts.http.alerts import NewSilence, RuleChanges
    from services.gateway.state import State

RULE: Final = "alert_rule"
SILENCE: Final = "silence"


def rule_view(state: State, rule: str) -> dict[str, Any]:
    """Return a rule as it is now: what it watches, and each limit with its bounds."""
    spec, configured = RULES[rule], state.find(RULE, rule)
    data: Mapping[str, Any] = configured.data if configured else {}
    said = data.get("limits", {})
    return {
        "rule": rule,
        "about": spec.about,
        "enabled": data.get("enabled", True),
        "limits": {**spec.defaults, **said},
        "bounds": {
            name: {
                "default": limit.default,
                "least": limit.least,
                "most": limit.most,
                "about": limit.about,
            }
            for name, limit in spec.limits.items()
        },
    }


@dataclass(frozen=True)
class ConfigureRule(Plain):
    """PUT or PATCH /alerts/rules/{rule}; a limit that is null is as it was at first."""

    rule: str
    changes: RuleChanges

    def touches(self, state: State) -> tuple[str, ...]:
        """Return the rule's stream."""
        del state
        return (_stream(self.rule),)

    def decide(self, state: State, given: Given) -> Verdict:
        """Configure it, if anything differs."""
        del given
        if self.rule not in RULES:
            return unknown("alert rule", self.rule)
        known = state.find(RULE, self.rule)
        before: Mapping[str, Any] = known.data if known else {"enabled": True, "limits": {}}
        merged = {**before["limits"], **self.changes.limits}
        try:
            limits = check_limits(self.rule, {k: v for k, v in merged.items() if v is not None})
        except BadLimits as error:
            errors = tuple({"field": f"limits.{name}", "message": m} for name, m in error.problems)
            return Denial("refused", str(error), errors=errors)
        sent = self.changes.given()
        enabled = sent.get("enabled", before["enabled"])
        shown = {**rule_view(state, self.rule), "enabled": enabled}
        shown["limits"] = {**RULES[self.rule].defaults, **limits}
        if (enabled, limits) == (before["enabled"], before["limits"]):
            return Decision((), answer=shown)
        event = AlertRuleConfigured(rule=self.rule, enabled=enabled, limits=limits)
        stream = _stream(self.rule)
        draft = Draft(stream, event, expected_version=state.version_of(stream))
        return Decision((draft,), answer=shown)


@dataclass(frozen=True)
class BeginSilence(Plain):
    """POST /alerts/silences."""

    new: NewSilence

    def touches(self, state: State) -> tuple[str, ...]:
        """Return nothing: it stands on nothing."""
        del state
        return ()

    def decide(self, state: State, given: Given) -> Verdict:
        """Begin it."""
        del state
        if self.new.rule is not None and self.new.rule not in RULES:
            return unknown("alert rule", self.new.rule, "rule")
        id_ = f"sil-{given.fresh}"
        event = SilenceBegun(silence_id=id_, **self.new.model_dump())
        draft = Draft(stream_of(SILENCE, id_), event, expected_version=0)
        return Decision((draft,), CREATED, shows=(SILENCE, id_))


@dataclass(frozen=True)
class LiftSilence(Plain):
    """DELETE /alerts/silences/{id}: what is open is told at once."""

    silence_id: str

    def touches(self, state: State) -> tuple[str, ...]:
        """Return the silence's stream."""
        del state
        return (stream_of(SILENCE, self.silence_id),)

    def decide(self, state: State, given: Given) -> Verdict:
        """Lift it."""
        del given
        if state.find(SILENCE, self.silence_id) is None:
            return unknown(SILENCE, self.silence_id)
        stream = stream_of(SILENCE, self.silence_id)
        event = SilenceLifted(silence_id=self.silence_id)
        lifted = Draft(stream, event, expected_version=state.version_of(stream))
        return Decision((lifted,), answer={"id": self.silence_id, "lifted": True})


def _stream(rule: str) -> str:
    return f"alert-rule/{rule}"
