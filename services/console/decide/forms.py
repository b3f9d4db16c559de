"""Forms: their fields, and the JSON that a filled one becomes."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

from services.console.decide import readers

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

Kind = Literal[
    "text", "number", "decimal", "password", "choice", "tick", "json", "numbers", "hidden",
    "value", "several",
]  # fmt: skip


@dataclass(frozen=True)
class Field:
    """One field; `choices` names the list that a choice is from, where it is not in `options`.

    in_body: False for one that goes into the path or the query instead. A value is a choice of
    what JSON can say; of several, each that is ticked comes as a field of its own. emptied: the
    JSON that takes away what is there; without it a field that holds something cannot be emptied.
    """

    name: str
    label: str
    kind: Kind = "text"
    help: str = ""
    required: bool = False
    choices: str = ""
    default: str = ""
    in_body: bool = True
    options: Sequence[tuple[str, str]] = ()
    emptied: str = ""
    value: str = ""
    error: str = ""


def filled(
    fields: Sequence[Field],
    values: Mapping[str, Any],
    options: Mapping[str, Sequence[tuple[str, str]]],
    errors: Mapping[str, str],
) -> list[Field]:
    """Return fields with what they hold, what can be chosen, and what was wrong with them."""
    return [
        replace(
            each,
            value=_held(each, values),
            options=options.get(each.choices, each.options),
            error=_error(each.name, errors),
        )
        for each in fields
    ]


def body(
    fields: Sequence[Field], form: Mapping[str, str], held: Mapping[str, Any] | None = None
) -> tuple[dict[str, Any], dict[str, str]]:
    """Return the JSON of a form, and what is wrong by field.

    What is left empty is left out, but for what the thing `held`: that is taken away.
    """
    made: dict[str, Any] = {}
    errors: dict[str, str] = {}
    for each in fields:
        said = _said(each, form)
        is_emptied = not said and _is_emptied(each, form, held or {})
        if not said and (each.required or (is_emptied and not each.emptied)):
            errors[each.name] = "this is needed"
        elif each.in_body and (said or is_emptied or each.kind == "tick"):
            try:
                value = json.loads(each.emptied) if is_emptied else _value(each, said)
            except ValueError as error:
                errors[each.name] = str(error)
            else:
                _put(made, each.name, value)
    return made, errors


def _is_emptied(field: Field, form: Mapping[str, str], held: Mapping[str, Any]) -> bool:
    """Return whether a field was sent empty that was shown with something in it."""
    had = _shown(field, held.get(field.name)) not in ("", "{}")
    return field.name in form and field.kind != "tick" and had


def _value(field: Field, said: str) -> Any:
    if field.kind == "value":
        return _picked(field, said)
    read = _READERS.get(field.kind)
    return read(said) if read else said


def _picked(field: Field, said: str) -> Any:
    if said not in dict(field.options):
        raise ValueError("choose one of these")
    return json.loads(said)


def _said(field: Field, form: Mapping[str, str]) -> str:
    """Return what was typed, or every one of several that is ticked."""
    if field.kind != "several":
        return form.get(field.name, "").strip()
    ticked = (value for value, _ in field.options if form.get(f"{field.name}.{value}") == "on")
    return " ".join(ticked)


def _held(field: Field, values: Mapping[str, Any]) -> str:
    """Return what a field shows: what it holds, what was typed, or what is usual."""
    if field.kind == "several":
        return _said(field, values)
    return _shown(field, values[field.name]) if field.name in values else field.default


def _put(made: dict[str, Any], name: str, value: Any) -> None:
    """Put a value where its dotted name says."""
    *path, last = name.split(".")
    for each in path:
        made = made.setdefault(each, {})
    made[last] = value


def _shown(field: Field, value: Any) -> str:
    if field.kind == "password" or value is None:
        return ""
    if field.kind == "tick":
        return "on" if value in (True, "on") else ""
    if isinstance(value, str):
        return value
    if field.kind == "numbers":
        return ", ".join(str(each) for each in value)
    return json.dumps(value, indent=1) if field.kind == "json" else str(value)


def _error(name: str, errors: Mapping[str, str]) -> str:
    """Return what the API said of a field, also when it names a part of it."""
    for field, message in errors.items():
        plain = field.removeprefix("body.")
        if plain == name or plain.startswith(f"{name}."):
            return message
    return ""


_READERS: Mapping[Kind, Callable[[str], Any]] = {
    "tick": lambda said: said == "on",
    "number": readers.number,
    "decimal": readers.decimal,
    "numbers": readers.numbers,
    "several": str.split,
    "json": readers.json_object,
}
