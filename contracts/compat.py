"""Tells a change of a JSON Schema that breaks a reader or a writer from one that is safe."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

Schema = Mapping[str, Any]

# A limit is tighter when the newer number is on this side of the older one.
_UPPER = ("maximum", "exclusiveMaximum", "maxLength", "maxItems", "maxProperties")
_LOWER = ("minimum", "exclusiveMinimum", "minLength", "minItems", "minProperties")
_NOTHING = object()


def breaks(old: Schema, new: Schema) -> list[str]:
    """Return a sentence for every way in which `new` breaks what `old` promised; empty is safe."""
    return list(_Comparison(old, new).all())


class _Comparison:
    """Two whole schemas, walked side by side; a pair of types is looked at once."""

    def __init__(self, old: Schema, new: Schema) -> None:
        self._old, self._new = old, new
        self._seen: set[tuple[str, str]] = set()

    def all(self) -> Iterator[str]:
        yield from self._compare("the payload", self._old, self._new)

    def _compare(self, path: str, old: Schema, new: Schema) -> Iterator[str]:
        yield from _default(path, old, new)
        names = (str(old.get("$ref")), str(new.get("$ref")))
        if "$ref" in old and "$ref" in new:
            if names in self._seen:
                return
            self._seen.add(names)
        old, new = _resolved(old, self._old), _resolved(new, self._new)
        if self._kinds(old, self._old) != self._kinds(new, self._new):
            before = _listed(self._kinds(old, self._old))
            yield f"{path} was of type {before} and is of {_listed(self._kinds(new, self._new))}"
            return
        yield from _format(path, old, new)
        yield from _values(path, old, new)
        yield from _limits(path, old, new)
        yield from self._fields(path, old, new)
        yield from self._inner(path, old, new)

    def _fields(self, path: str, old: Schema, new: Schema) -> Iterator[str]:
        before, after = old.get("properties", {}), new.get("properties", {})
        for name in before:
            if name not in after:
                yield f"{_at(path, name)} was removed"
            else:
                yield from self._compare(_at(path, name), before[name], after[name])
        for name in new.get("required", ()):
            if name not in old.get("required", ()):
                yield f"{_at(path, name)} became required"

    def _inner(self, path: str, old: Schema, new: Schema) -> Iterator[str]:
        for key, inside in (("items", f"{path}[]"), ("additionalProperties", f"{path}.*")):
            before, after = old.get(key), new.get(key)
            if isinstance(before, Mapping) and isinstance(after, Mapping):
                yield from self._compare(inside, before, after)
            elif after is False and before is not False:
                yield f"{inside} is allowed no longer"
        after_branches = {self._kind(b, self._new): b for b in _branches(new)}
        for branch in _branches(old):
            yield from self._compare(path, branch, after_branches[self._kind(branch, self._old)])

    def _kinds(self, schema: Schema, root: Schema) -> frozenset[str]:
        branches = _branches(schema)
        return frozenset(self._kind(b, root) for b in branches or (schema,))

    def _kind(self, schema: Schema, root: Schema) -> str:
        resolved = _resolved(schema, root)
        kind = resolved.get("type", "any")
        name = str(resolved.get("title", "")) if kind == "object" else ""
        return f"{kind if isinstance(kind, str) else _listed(kind)} {name}".strip()


def _default(path: str, old: Schema, new: Schema) -> Iterator[str]:
    before, after = old.get("default", _NOTHING), new.get("default", _NOTHING)
    # A field that gets its first default was required before: nobody left it out.
    if before is not _NOTHING and before != after:
        yield f"{path} had the default {before!r} and has {_shown(after)}"


def _format(path: str, old: Schema, new: Schema) -> Iterator[str]:
    for key in ("format", "pattern"):
        if new.get(key) != old.get(key):
            yield f"{path} had the {key} {_shown(old.get(key))} and has {_shown(new.get(key))}"


def _values(path: str, old: Schema, new: Schema) -> Iterator[str]:
    before, after = _allowed(old), _allowed(new)
    if after is None:
        return
    if before is None:
        yield f"{path} took any value and takes only {_listed(map(str, after))}"
        return
    for value in before:
        if value not in after:
            yield f"{path} lost the value {value!r}"


def _limits(path: str, old: Schema, new: Schema) -> Iterator[str]:
    for keys, sign in ((_UPPER, 1), (_LOWER, -1)):
        for key in keys:
            if key in new and (key not in old or sign * new[key] < sign * old[key]):
                yield f"{path} had the {key} {_shown(old.get(key))} and has {new[key]}"


def _allowed(schema: Schema) -> list[Any] | None:
    if "const" in schema:
        return [schema["const"]]
    values: list[Any] | None = schema.get("enum")
    return values


def _branches(schema: Schema) -> tuple[Schema, ...]:
    return tuple(schema.get("anyOf", schema.get("oneOf", ())))


def _resolved(schema: Schema, root: Schema) -> Schema:
    while "$ref" in schema:
        target: Any = root
        for part in schema["$ref"].removeprefix("#/").split("/"):
            target = target[part]
        schema = target
    return schema


def _at(path: str, name: str) -> str:
    return name if path == "the payload" else f"{path}.{name}"


def _listed(kinds: Any) -> str:
    return " or ".join(sorted(kinds))


def _shown(value: Any) -> str:
    return "none" if value is _NOTHING or value is None else repr(value)
