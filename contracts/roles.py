"""Who may do what: every role with its permissions, from the least to all of them."""

from __future__ import annotations

from enum import StrEnum
from typing import Literal, get_args

Role = Literal["viewer", "operator", "admin", "agent"]
ROLES: tuple[Role, ...] = get_args(Role)


class Permission(StrEnum):
    """What a route asks of who comes in.

    public: nothing. known: to be anybody we know. heartbeat: to speak for a node.
    """

    PUBLIC = "public"
    KNOWN = "known"
    HEARTBEAT = "heartbeat"
    READ = "read"
    OPERATE = "operate"
    ADMIN = "admin"


_ANYBODY = frozenset({Permission.PUBLIC, Permission.KNOWN})

# An agent's key lies on a machine that strangers' models run on: it reads nothing.
PERMISSIONS: dict[Role, frozenset[Permission]] = {
    "agent": _ANYBODY | {Permission.HEARTBEAT},
    "viewer": _ANYBODY | {Permission.READ},
    "operator": _ANYBODY | {Permission.READ, Permission.OPERATE},
    "admin": frozenset(Permission),
}
# What a key can be narrowed to; the others belong to everybody or mean everything.
GRANTABLE = (Permission.HEARTBEAT, Permission.READ, Permission.OPERATE, Permission.ADMIN)
Grant = Literal["heartbeat", "read", "operate", "admin"]


def allowed(role: Role, narrowed_to: tuple[Grant, ...] | None = None) -> frozenset[Permission]:
    """Return what a role may do, or the part of it that a key was narrowed to."""
    whole = PERMISSIONS[role]
    if narrowed_to is None:
        return whole
    return whole & (_ANYBODY | {Permission(each) for each in narrowed_to})
