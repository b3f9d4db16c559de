"""How values of annotated classes become JSON and exactly themselves again; nothing is executed.

A shape is made from a type's annotations: scalars, lists, tuples, deques, sets, dictionaries,
datetimes, dataclasses, pydantic models and what is made of them. Values form a tree: an object
that is reached twice comes back as two.
"""

from __future__ import annotations

import types
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import MISSING, dataclass, fields, is_dataclass
from datetime import datetime
from itertools import accumulate, chain, repeat
from operator import attrgetter, mul, sub, truediv
from typing import (
    Annotated,
    Any,
    Literal,
    TypeVar,
    Union,
    get_args,
    get_origin,
    get_type_hints,
)

from pydantic import BaseModel

from services.chassis.errors import Bug

Turn = Callable[[Any], Any]
Bound = Mapping[Any, Any]

NO_NAMES: Bound = {}
MICRO = 1_000_000
LATEST_S = 2**32  # of a clock: beyond, microseconds are no longer exact
SCALARS = (str, int, float, bool, None, type(None))


@dataclass(frozen=True, slots=True)
class Shape:
    """A type's way to JSON and back; None where a value is its own JSON form.

    text: what it looks like, for telling one shape from another.
    """

    text: str
    dump: Turn | None = None
    load: Turn | None = None


def shape_of(hint: Any, bound: Bound = NO_NAMES) -> Shape:
    """Return the shape of a type; raises Bug for one that cannot be stored."""
    origin, arguments = get_origin(hint), get_args(hint)
    if hint in SCALARS or hint is Any or origin is Literal:
        return Shape(getattr(hint, "__name__", None) or str(hint))
    if isinstance(hint, TypeVar) or origin is Annotated:
        return shape_of(bound[hint] if origin is None else arguments[0], bound)
    if origin in (Union, types.UnionType):
        return _union(arguments, bound)
    if origin in _CONTAINERS:
        return _CONTAINERS[origin]([*arguments], bound)
    return _class(hint, origin or hint, arguments)


def _class(hint: Any, cls: Any, arguments: tuple[Any, ...]) -> Shape:
    if cls is datetime:
        return Shape("datetime", None, datetime.fromisoformat)
    if is_dataclass(cls):
        return _dataclass(cls, arguments)
    if isinstance(cls, type) and issubclass(cls, BaseModel):
        return Shape(_name(cls), _dump_model, cls.model_validate)
    raise Bug(f"{hint} cannot be stored: it has no shape")


def _name(hint: type) -> str:
    return f"{hint.__module__}.{hint.__qualname__}"


def _dump_model(model: BaseModel) -> Any:
    # What was never said stays unsaid: a default is one of today, not of the day it was written.
    return model.model_dump(mode="json", exclude_unset=True)


def _union(arguments: tuple[Any, ...], bound: Bound) -> Shape:
    """Return the shape of JSON scalars among each other, or of one other thing and None."""
    others = [each for each in arguments if each is not type(None)]
    if all(each in SCALARS for each in others):
        return Shape("|".join(sorted(each.__name__ for each in others)) + "|None")
    if len(others) != 1:
        raise Bug(f"{arguments} cannot be stored: JSON does not tell these apart")
    inner = shape_of(others[0], bound)
    return Shape(f"{inner.text}|None", _or_none(inner.dump), _or_none(inner.load))


def _or_none(turn: Turn | None) -> Turn | None:
    if turn is None:
        return None
    return lambda value: None if value is None else turn(value)


def _each(turn: Turn | None, into: Turn | None) -> Turn | None:
    """Return what turns every element, and gathers them into another container."""
    if turn is None:
        return into
    if into is None:
        return lambda values: [turn(value) for value in values]
    return lambda values: into(turn(value) for value in values)


def _list(arguments: list[Any], bound: Bound) -> Shape:
    inner = shape_of(arguments[0], bound)
    return Shape(f"list[{inner.text}]", _each(inner.dump, None), _each(inner.load, None))


def _deque(arguments: list[Any], bound: Bound) -> Shape:
    inner = shape_of(arguments[0], bound)
    return Shape(f"deque[{inner.text}]", _each(inner.dump, list), _each(inner.load, deque))


def _set(arguments: list[Any], bound: Bound) -> Shape:
    return _ordered(arguments, bound, set)


def _frozenset(arguments: list[Any], bound: Bound) -> Shape:
    return _ordered(arguments, bound, frozenset)


def _ordered(arguments: list[Any], bound: Bound, into: Turn) -> Shape:
    inner = shape_of(arguments[0], bound)
    if inner.dump is not None:
        raise Bug(f"a set of {inner.text} cannot be stored: it has no order")
    return Shape(f"set[{inner.text}]", sorted, _each(inner.load, into))


def _tuple(arguments: list[Any], bound: Bound) -> Shape:
    if arguments[-1] is Ellipsis:
        inner = shape_of(arguments[0], bound)
        return Shape(f"tuple[{inner.text},...]", _each(inner.dump, None), _each(inner.load, tuple))
    inners = [shape_of(each, bound) for each in arguments]
    text = ",".join(each.text for each in inners)
    dumps = _places([each.dump for each in inners])
    loads = _places([each.load for each in inners])
    load = tuple if loads is None else lambda values: tuple(loads(values))
    return Shape(f"tuple[{text}]", dumps, load)


def _places(turns: list[Turn | None]) -> Turn | None:
    """Return what turns the elements that need it, each place in its own way; None if none do."""
    todo = [(place, turn) for place, turn in enumerate(turns) if turn is not None]
    if not todo:
        return None

    def turn_all(values: Any) -> list[Any]:
        turned = list(values)
        for place, turn in todo:
            turned[place] = turn(turned[place])
        return turned

    return turn_all


def _dict(arguments: list[Any], bound: Bound) -> Shape:
    key, value = (shape_of(each, bound) for each in arguments)
    text = f"dict[{key.text},{value.text}]"
    if arguments[0] is str or get_origin(arguments[0]) is Literal:
        return Shape(text, _values(value.dump), _values(value.load))
    dump_key, load_key = key.dump or _same, key.load or _same
    dump_value, load_value = value.dump or _same, value.load or _same
    return Shape(
        text,
        lambda items: [(dump_key(k), dump_value(v)) for k, v in items.items()],
        lambda pairs: {load_key(k): load_value(v) for k, v in pairs},
    )


def _values(turn: Turn | None) -> Turn | None:
    if turn is None:
        return None
    return lambda items: {name: turn(value) for name, value in items.items()}


def _same(value: Any) -> Any:
    return value


def _dataclass(cls: Any, arguments: tuple[Any, ...]) -> Shape:
    """Return the shape of a dataclass: its fields in order, given back to its constructor."""
    bound = dict(zip(getattr(cls, "__parameters__", ()), arguments, strict=True))
    inners = field_shapes(cls, bound)
    if len(inners) < len(fields(cls)):
        raise Bug(f"{_name(cls)} cannot be stored: only a whole state may be configured")
    names = list(inners)
    get = attrgetter(*names)
    read = (lambda value: (get(value),)) if len(names) == 1 else get
    dumps = _places([each.dump for each in inners.values()])
    loads = _places([each.load for each in inners.values()])
    return Shape(
        f"{_name(cls)}({','.join(f'{name}:{each.text}' for name, each in inners.items())})",
        read if dumps is None else lambda value: dumps(read(value)),
        lambda values: cls(*(values if loads is None else loads(values))),
    )


def field_shapes(cls: Any, bound: Bound = NO_NAMES) -> dict[str, Shape]:
    """Return the shapes of a dataclass's stored fields by name.

    A field with the metadata `stored: False` is how it was configured and not what it knows. One
    with `steps: True` is a list of numbers that lie close to each other, and takes less room so.
    Raises Bug when an annotation cannot be read, or a field is none of the constructor's.
    """
    try:
        hints = get_type_hints(cls)
    except NameError as error:
        raise Bug(f"{_name(cls)} cannot be stored: {error} at run time") from error
    shapes: dict[str, Shape] = {}
    for each in fields(cls):
        if not each.init or each.kw_only:
            raise Bug(f"{_name(cls)}.{each.name} cannot be stored: it is not given by place")
        if each.metadata.get("stored", True):
            shape = shape_of(hints[each.name], bound)
            shapes[each.name] = _steps(shape) if each.metadata.get("steps") else shape
        elif each.default is MISSING and each.default_factory is MISSING:
            raise Bug(f"{_name(cls)}.{each.name} is not stored, and has no default")
    return shapes


def _steps(numbers: Shape) -> Shape:
    """Return the shape of numbers as what lies between them; moments in whole microseconds."""
    return Shape(f"steps of {numbers.text}", _to_steps, _from_steps)


def _to_steps(values: list[Any]) -> tuple[str, list[Any]]:
    kinds = set(map(type, values))
    if kinds <= {int}:
        return "whole", _apart(values)
    # What is neither a clock's nor whole, and nothing besides: as it is.
    if kinds != {float} or not (min(values) > -LATEST_S and max(values) < LATEST_S):
        return "as is", values
    whole = [*map(round, map(mul, values, repeat(MICRO)))]
    is_exact = [*map(truediv, whole, repeat(MICRO))] == values
    return ("us", _apart(whole)) if is_exact else ("as is", values)


def _apart(whole: list[int]) -> list[int]:
    return [*map(sub, whole, chain((0,), whole))]


def _from_steps(stored: tuple[str, list[Any]]) -> list[Any]:
    kind, steps = stored
    if kind == "as is":
        return steps
    whole = accumulate(steps)
    return [number / MICRO for number in whole] if kind == "us" else list(whole)


_CONTAINERS: dict[Any, Callable[[list[Any], Bound], Shape]] = {
    list: _list,
    deque: _deque,
    set: _set,
    frozenset: _frozenset,
    tuple: _tuple,
    dict: _dict,
    Mapping: _dict,
}
