"""What a button does: what it asks, what follows from it, and its one command."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from services.console.decide.forms import Field

_ENDINGS = ("delete", "close", "revoke", "lift")


@dataclass(frozen=True)
class Action:
    """What a button does: asked first, with what follows from it, then one command.

    path: below the API; `{id}`, what the thing holds, and fields can stand in it. fixed: what
    the body holds besides the fields; prefill: fields begin with what the thing holds.
    fields_of: which fields there are besides, of the thing.
    """

    code: str
    button: str
    title: str
    follows: str
    method: str
    path: str
    permission: str = "operate"
    fields: Sequence[Field] = ()
    fixed: Mapping[str, Any] | None = None
    is_grave: bool = False
    prefill: bool = False
    fields_of: Callable[[Mapping[str, Any]], Sequence[Field]] | None = None
    also_stops: bool = False

    def fields_for(self, thing: Mapping[str, Any]) -> Sequence[Field]:
        """Return the fields of its form."""
        return (*self.fields, *(self.fields_of(thing) if self.fields_of else ()))

    @property
    def kind(self) -> str:
        """What it is done to."""
        return self.code.partition(".")[0]

    @property
    def is_new(self) -> bool:
        """Whether it makes something rather than changing what is there."""
        return self.code.endswith(".create")

    @property
    def ends(self) -> bool:
        """Whether nothing is there any more afterwards."""
        return self.code.rpartition(".")[2] in _ENDINGS
