"""Shapes: whatever a state is made of becomes JSON and exactly itself again, or is refused early."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta, timezone
from typing import Any, Generic, Literal, TypeVar

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ConfigDict

from services.chassis.errors import Bug
from services.chassis.shapes import field_shapes, shape_of

T = TypeVar("T")


class Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="allow")
    name: str
    size: float = 1.0
    at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Since(Generic[T]):
    event: T
    at: datetime


@dataclass(slots=True)
class One:
    only: tuple[str, ...] = ()


@dataclass
class Given:
    at: datetime
    name: str = field(default="", kw_only=True)


def again(hint: Any, value: Any) -> Any:
    shape = shape_of(hint)
    plain = orjson.loads(orjson.dumps(value if shape.dump is None else shape.dump(value)))
    return plain if shape.load is None else shape.load(plain)


NOON = datetime(2026, 1, 1, 12, 0, 0, 1, tzinfo=UTC)
EAST = datetime(2026, 1, 1, 12, tzinfo=timezone(timedelta(hours=5, minutes=30)))
PART = Part(name="x")


@pytest.mark.parametrize(
    ("hint", "value"),
    [
        (str, "Grüße \u2028 🚀"),
        (float, -0.0),
        (float, 0.1),
        (int, 2**53),
        (bool | int | str | float | None, True),
        (Literal["a", "b"], "a"),
        (Any, {"deep": [1, 2.5, None, {"x": "y"}]}),
        (Mapping[str, Any], {"b": 1, "a": [1]}),
        (datetime, NOON),
        (datetime, EAST),
        (datetime | None, None),
        (datetime | None, NOON),
        (list[tuple[int, str]], [(1, "a"), (2, "b")]),
        (tuple[datetime, int], (NOON, 1)),
        (tuple[str, ...], ()),
        (deque[tuple[datetime, int]], deque([(NOON, 1), (EAST, 2)])),
        (frozenset[int], frozenset({3, 1, 2})),
        (set[str], {"b", "a"}),
        (dict[str, None], {"b": None, "a": None}),
        (dict[int, datetime], {2: NOON, 1: EAST}),
        (
            dict[tuple[str, str], Since[Part]],
            {("b", "a"): Since(PART, NOON), ("a", "b"): Since(PART, EAST)},
        ),
        (dict[str, dict[str, One]], {"b": {"x": One(("y",))}, "a": {}}),
        (Since[Part] | None, Since(Part(name="x", at=NOON, more={"a": [1, 2.0]}), NOON)),
    ],
)
def test_a_value_comes_back_as_it_was_and_in_its_order(hint: Any, value: Any) -> None:
    back = again(hint, value)
    assert back == value
    assert type(back) is type(value)
    if not isinstance(value, set | frozenset):
        assert repr(back).replace("TzInfo(0)", "datetime.timezone.utc") == repr(value).replace(
            "TzInfo(0)", "datetime.timezone.utc"
        )


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_no_number_is_rounded(number: float) -> None:
    assert repr(again(float, number)) == repr(number)


def test_what_a_model_was_never_told_stays_untold() -> None:
    assert again(Part, PART).model_fields_set == {"name"}


@pytest.mark.parametrize("hint", [bytes, object, list[complex], int | list[int], set[One]])
def test_what_json_cannot_tell_apart_or_hold_is_refused_before_it_is_needed(hint: Any) -> None:
    with pytest.raises(Bug, match="cannot be stored"):
        shape_of(hint)


def test_fields_that_are_not_given_by_place_are_refused() -> None:
    with pytest.raises(Bug, match=r"Given\.name"):
        field_shapes(Given)


@dataclass
class Configured:
    limit: float = field(metadata={"stored": False})


@dataclass
class Holder:
    inner: dict[str, Since[Part]]
    configured: float = field(default=1.0, metadata={"stored": False})


@dataclass
class Nested:
    holder: Holder


@dataclass
class Guarded:
    held: Unheard  # noqa: F821


def test_what_is_configured_is_not_stored_and_only_whole_states_are_configured() -> None:
    assert list(field_shapes(Holder)) == ["inner"]
    for cls, why in ((Configured, "no default"), (Nested, "whole state"), (Guarded, "Unheard")):
        with pytest.raises(Bug, match=why):
            field_shapes(cls)


@dataclass
class Sampled:
    at_s: list[float] = field(default_factory=list, metadata={"steps": True})
    totals: list[int] = field(default_factory=list, metadata={"steps": True})


def stored(value: Sampled) -> tuple[Sampled, str]:
    shape = shape_of(Sampled)
    text = orjson.dumps(shape.dump(value))
    return shape.load(orjson.loads(text)), text.decode()


@given(
    st.lists(st.datetimes(timezones=st.just(UTC))),
    st.lists(st.integers(0, 2**40)),
)
def test_numbers_close_to_each_other_are_stored_as_steps_and_come_back_exactly(moments, totals):
    given_ = Sampled(sorted(moment.timestamp() for moment in moments), sorted(totals))
    assert stored(given_)[0] == given_


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False)))
def test_floats_that_are_no_moments_come_back_exactly_too(numbers):
    assert stored(Sampled(numbers))[0] == Sampled(numbers)


def test_steps_take_less_room():
    since_s = NOON.timestamp()
    sampled = Sampled([since_s + 5 * n for n in range(100)], [3 * n for n in range(100)])
    assert len(stored(sampled)[1]) < 1300
