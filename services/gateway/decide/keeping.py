"""Proposals as they are kept beside an idempotency key: JSON in, the same drafts out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from contracts.catalogue import entry_of
from contracts.envelope import Draft
from contracts.events.account import AccountPasswordChanged, AccountRegistered, KeyCreated
from contracts.events.control import SecretRotated
from contracts.types import SecretRef
from services.gateway.decide.api_keys import secret_of_key
from services.gateway.decide.verdicts import Decision

if TYPE_CHECKING:
    from collections.abc import Mapping


def as_json(decision: Decision) -> dict[str, Any]:
    """Return a decision as JSON values; it holds references to secrets, never a secret."""
    return {
        "drafts": [
            {
                "stream": draft.stream,
                "type": draft.event.type,
                "schema_version": draft.event.schema_version,
                "data": draft.event.model_dump(mode="json"),
                "expected_version": draft.expected_version,
            }
            for draft in decision.drafts
        ],
        "status": decision.status,
        "shows": decision.shows,
        "answer": dict(decision.answer),
        "forgets": decision.forgets,
        "drops": [each.model_dump() for each in decision.drops],
    }


def secrets_of(decision: Decision) -> tuple[SecretRef, ...]:
    """Return the versions of secrets that come with a decision and are of no use without it."""
    events = [draft.event for draft in decision.drafts]
    rotated = (
        SecretRef(secret_id=each.secret_id, version=each.version)
        for each in events
        if isinstance(each, SecretRotated)
    )
    passwords = (
        each.password
        for each in events
        if isinstance(each, AccountRegistered | AccountPasswordChanged)
    )
    keys = (
        SecretRef(secret_id=secret_of_key(each.key_id), version=1)
        for each in events
        if isinstance(each, KeyCreated)
    )
    return (*rotated, *passwords, *keys)


def from_json(kept: Mapping[str, Any]) -> Decision:
    """Return the decision that was kept."""
    return Decision(
        drafts=tuple(
            Draft(
                each["stream"],
                entry_of(each["type"], each["schema_version"]).event.model_validate(each["data"]),
                expected_version=each["expected_version"],
            )
            for each in kept["drafts"]
        ),
        status=kept["status"],
        shows=tuple(kept["shows"]) if kept["shows"] else None,
        answer=kept["answer"],
        forgets=tuple(kept["forgets"]),
        drops=tuple(SecretRef.model_validate(each) for each in kept.get("drops", ())),
    )
