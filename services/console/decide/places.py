"""Where things are: the pages, and the page of each thing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import quote

if TYPE_CHECKING:
    from collections.abc import Sequence

KINDS = {
    "environment": "environments",
    "model": "models",
    "node": "nodes",
    "gpu": "gpus",
    "instance": "instances",
    "strategy": "strategies",
    "alert": "alerts",
    "webhook": "webhooks",
}
_SECTIONS = {
    "/gpus": "/nodes",
    "/instances": "/deployments",
    "/strategies": "/scheduling",
    "/rules": "/alerts",
    "/webhooks": "/alerts",
}
EXPLAINED = frozenset({"instance", "model", "node", "gpu"})


@dataclass(frozen=True)
class Place:
    """A page of the navigation; `key` goes there after `g`; permission: whose page it is."""

    name: str
    path: str
    icon: str
    key: str
    permission: str = "read"


NAVIGATION = (
    Place("Dashboard", "/", "dashboard", "d"),
    Place("Environments", "/environments", "environments", "v"),
    Place("Models", "/models", "models", "m"),
    Place("Nodes", "/nodes", "nodes", "n"),
    Place("Deployments", "/deployments", "deployments", "p"),
    Place("Scheduling", "/scheduling", "scheduling", "s"),
    Place("Events", "/events", "events", "e"),
    Place("Alerts", "/alerts", "alerts", "a"),
    Place("Accounts", "/accounts", "accounts", "c", "admin"),
    Place("API keys", "/keys", "keys", "k", "known"),
)


def navigation(permissions: Sequence[str] | None) -> list[Place]:
    """Return the pages of somebody; all of them when it is not known what they may see."""
    if permissions is None:
        return list(NAVIGATION)
    return [each for each in NAVIGATION if each.permission in ("known", *permissions)]


def page_of(kind: str, id_: str) -> str | None:
    """Return the path of a thing's page, None for a kind that has none."""
    folder = KINDS.get(kind)
    return None if folder is None else f"/{folder}/{quote(id_, safe='')}"


def page_of_stream(stream: str) -> str | None:
    """Return the page of whatever a stream of the log is about, None where there is none."""
    kind, _, id_ = stream.partition("/")
    about = {"queue": "model", "queue-samples": "model", "model-floor": "model"}
    about |= {"node-reports": "node", "process": "node"}
    return page_of(about.get(kind, kind), id_) if id_ else None


def page_of_subject(subject: str) -> str | None:
    """Return the page of what an alert is about, None where it is no thing of its own."""
    kind = {"mdl": "model", "nod": "node"}.get(subject.partition("-")[0])
    if subject.startswith(("GPU-", "VGPU-", "MIG-")):
        kind = "gpu"
    return page_of(kind, subject) if kind else None


def section_of(path: str) -> str:
    """Return the page of the navigation that a path belongs to."""
    folder = "/" + path.strip("/").partition("/")[0]
    return _SECTIONS.get(folder, folder)
