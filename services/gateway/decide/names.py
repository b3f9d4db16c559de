"""Unique names: claimed, released and changed in the same proposal as what they name."""

from __future__ import annotations

from typing import TYPE_CHECKING

from contracts.envelope import Draft
from contracts.events.control import NameClaimed, NameReleased
from services.gateway.decide.verdicts import Denial

if TYPE_CHECKING:
    from services.gateway.state import State


def name_stream(kind: str, name: str) -> str:
    """Return the stream of a name."""
    return f"name/{kind}/{name}"


def claim(state: State, kind: str, name: str, owner: str) -> tuple[Draft, ...] | Denial:
    """Return the draft that makes a name somebody's, or why it cannot be theirs."""
    stream = name_stream(kind, name)
    holder = state.owners.get(stream)
    if holder is not None:
        detail = f"the name is taken by {kind} {holder}"
        return Denial("conflict", detail, "name", {"owner": holder})
    event = NameClaimed(kind=kind, name=name, owner=owner)
    return (Draft(stream, event, expected_version=state.version_of(stream)),)


def release(state: State, kind: str, name: str) -> tuple[Draft, ...]:
    """Return the draft that frees a name."""
    stream = name_stream(kind, name)
    event = NameReleased(kind=kind, name=name)
    return (Draft(stream, event, expected_version=state.version_of(stream)),)


def rename(state: State, kind: str, old: str, new: str, owner: str) -> tuple[Draft, ...] | Denial:
    """Return the drafts that give a thing another name; none when it is the same."""
    if old == new:
        return ()
    claimed = claim(state, kind, new, owner)
    return claimed if isinstance(claimed, Denial) else (*release(state, kind, old), *claimed)
