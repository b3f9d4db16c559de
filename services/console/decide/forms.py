"""Forms: their fields, and the JSON that a filled one becomes."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

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
    what JSON can say; of several, each that is ticked comes as a field of its own.
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


def body(fields: Sequence[Field], form: Mapping[str, str]) -> tuple[dict[str, Any], dict[str, str]]:
    """Return the JSON of a form, and what is wrong by field; what is left empty is left out."""
    made: dict[str, Any] = {}
    errors: dict[str, str] = {}
    for each in fields:
        said = _said(each, form)
        if each.required and not said:
            errors[each.name] = "this is needed"
        if not each.in_body or (not said and each.kind != "tick"):
            continue
        try:
            _put(made, each.name, _value(each, said))
        except ValueError as error:
            errors[each.name] = str(error)
    return made, errors


def _value(field: Field, said: str) -> Any:
    if field.kind == "value":
        return _picked(field, said)
    read = _READERS.get(field.kind)
    return read(said) if read else said


def _numbers(said: str) -> list[int]:
    return [_number(each.strip()) for each in said.split(",") if each.strip()]


def _number(said: str) -> int:
    try:
        return int(said)
    except ValueError:
        raise ValueError(f"{said[:40]} is no whole number") from None


def _decimal(said: str) -> float:
    try:
        return float(said)
    except ValueError:
        raise ValueError(f"{said[:40]} is no number") from None


def _json(said: str) -> Any:
    try:
        found = json.loads(said)
    except ValueError as error:
        raise ValueError(f"this is no JSON: {error}") from None
    if not isinstance(found, dict):
        raise ValueError('an object is wanted, such as {"idle_s": 300}')  # noqa: TRY004
    return found


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
    "number": _number,
    "decimal": _decimal,
    "numbers": _numbers,
    "several": str.split,
    "json": _json,
}
