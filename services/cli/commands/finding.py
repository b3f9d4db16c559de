"""Finding things: kinds as people call them, whole lists, one thing by its id or its name."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated, Any
from urllib.parse import quote

import typer

from services.chassis.errors import Conflict, NotFound, QuartermasterError, Refused
from services.cli.commands.history import asking
from services.cli.commands.status import whole
from services.cli.decide.kinds import KINDS, SAID, Kind

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:@+-]{0,127}")


def _kind(said: str) -> Kind:
    found = SAID.get(said.lower())
    if found is None:
        known = ", ".join(kind.plural for kind in KINDS.values())
        raise Refused(f"there are no {said}; there are: {known}")
    return found


def _kinds(incomplete: str) -> list[str]:
    return [kind.plural for kind in KINDS.values() if kind.plural.startswith(incomplete)]


AKind = Annotated[
    Kind,
    typer.Argument(metavar="KIND", parser=_kind, autocompletion=_kinds, help="models, nodes, ..."),
]


def all_of(gateway: Any, kind: Kind, wanted: dict[str, Any] | None = None) -> dict[str, Any]:
    """Return every thing of a kind, whatever the number of pages."""
    return whole(gateway, kind.path, wanted or {})


def id_of(gateway: Any, kind: Kind, said: str, as_of: str | None = None) -> str:
    """Return the id of what was said, an id or a name."""
    return str(one_of(gateway, kind, said, as_of)[kind.id])


def one_of(gateway: Any, kind: Kind, said: str, as_of: str | None = None) -> dict[str, Any]:
    """Return one thing by its id or its name.

    Raises NotFound, and Conflict when several have the name.
    """
    past = {"as_of": as_of} if kind.has_past else {}
    if kind.alone and _ID.fullmatch(said):
        try:
            found: dict[str, Any] = gateway.get(asking(f"{kind.path}/{quote(said)}", past))
        except NotFound:
            if kind.named is None:
                raise
        else:
            return found
    return _by_name(all_of(gateway, kind, past)["items"], kind, said)


def _by_name(items: list[dict[str, Any]], kind: Kind, said: str) -> dict[str, Any]:
    names = (kind.id, kind.named) if kind.named else (kind.id,)
    found = [each for each in items if said in {each.get(name) for name in names}]
    if not found:
        raise NotFound(f"there is no {kind.name} {said}: `quartermaster get {kind.plural}`")
    if len(found) > 1:
        ids = ", ".join(str(each[kind.id]) for each in found)
        raise Conflict(f"{len(found)} {kind.plural} are called {said}; say which: {ids}")
    return found[0]


def completing(gateway: Callable[[], Any]) -> Callable[[typer.Context, str], list[str]]:
    """Return what completes an id or a name, once its kind is said; nothing where nobody answers.

    Whoever presses the tab key wants no error in the middle of a line.
    """

    def complete(context: typer.Context, incomplete: str) -> list[str]:
        try:
            kind = SAID[str(getattr(context.params.get("kind"), "name", context.params["kind"]))]
            return sorted(set(_said(gateway(), kind, incomplete)))
        except (QuartermasterError, KeyError):
            return []

    return complete


def _said(gateway: Any, kind: Kind, incomplete: str) -> Iterator[str]:
    for each in gateway.get(asking(kind.path, {"limit": 200}))["items"]:
        said = str(each.get(kind.named or kind.id) or each[kind.id])
        if said.startswith(incomplete):
            yield said
