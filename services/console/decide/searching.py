"""What a search finds: things by name or id, pages, and an as_of."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from services.console.decide.places import navigation, page_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

MOST = 12


@dataclass(frozen=True)
class Hit:
    """One thing found."""

    kind: str
    name: str
    detail: str
    page: str


def hits(
    wanted: str,
    things: Mapping[str, Iterable[Mapping[str, Any]]],
    permissions: Sequence[str] | None = None,
) -> list[Hit]:
    """Return what a search finds, best first: names that begin so, names and ids that hold it."""
    words = wanted.strip().lower()
    found = [Hit("page", each.name, "", each.path) for each in navigation(permissions)]
    for kind, items in things.items():
        found += [_hit(kind, each) for each in items]
    if not words:
        return [each for each in found if each.kind == "page"]
    ranked = [
        (rank, place, hit)
        for place, hit in enumerate(found)
        if (rank := _rank(words, hit)) is not None
    ]
    best = [hit for _, _, hit in sorted(ranked, key=lambda each: each[:2])][:MOST]
    if words.isdecimal():
        then = Hit("as of", f"position {words}", "the fleet as it was", f"/?as_of={words}")
        best.insert(0, then)
    return best


def _hit(kind: str, said: Mapping[str, Any]) -> Hit:
    id_ = str(said.get("uuid") or said.get("instance_id") or said.get("id"))
    name = str(said.get("name") or id_)
    detail = id_ if name != id_ else ""
    if kind == "gpu":
        name, detail = f"GPU {said.get('index')} {said.get('name') or ''}".strip(), id_
    elif kind == "instance":
        name, detail = id_, f"{said.get('model_name')}, {said.get('state')}"
    return Hit(kind, name, detail, page_of(kind, id_) or "/")


def _rank(wanted: str, hit: Hit) -> int | None:
    name, detail = hit.name.lower(), hit.detail.lower()
    if name == wanted:
        return 0
    if name.startswith(wanted):
        return 1
    if wanted in name:
        return 2
    return 3 if wanted in detail or wanted in hit.kind else None
