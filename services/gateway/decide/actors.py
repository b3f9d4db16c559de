"""The names of who acts: accounts and API keys share them, so that an actor is one of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from services.gateway.decide import names
from services.gateway.decide.verdicts import Denial

if TYPE_CHECKING:
    from contracts.envelope import Draft
    from services.gateway.state import State

ACTOR: Final = "actor"
# Who stands in the log as an actor without an account: the installation's token and the services.
RESERVED = frozenset(
    {
        *("admin-token", "anonymous", "api", "bootstrap", "root", "system"),
        *("agent", "alerter", "cli", "console", "demo", "deployer", "gateway", "journal"),
        *("node_monitor", "projector", "query", "queue_sampler", "router", "scheduler"),
        *("vault", "workflow"),
    }
)


def actor_stream(name: str) -> str:
    """Return the stream of an actor's name; Ada and ada are the same."""
    return names.name_stream(ACTOR, name.lower())


def claim(state: State, name: str, owner: str, about: str) -> tuple[Draft, ...] | Denial:
    """Return the draft that makes a name somebody's; `about`: the field that named it."""
    if name.lower() in RESERVED:
        return Denial("refused", "this name is the control plane's own", about)
    claimed = names.claim(state, ACTOR, name.lower(), owner)
    if isinstance(claimed, Denial):
        return Denial("conflict", "the name is taken", about)
    return claimed


def release(state: State, name: str) -> tuple[Draft, ...]:
    """Return the draft that frees a key's name for another key."""
    return names.release(state, ACTOR, name.lower())
