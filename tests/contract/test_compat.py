"""A change of a contract that breaks somebody is told from one that does not."""

from enum import StrEnum
from typing import Annotated, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import AwareDatetime, BaseModel, Field

from contracts.catalogue import CATALOGUE
from contracts.compat import breaks


class Inner(BaseModel):
    count: int = 0
    note: str | None = None


class Colour(StrEnum):
    RED = "red"
    BLUE = "blue"


class Base(BaseModel):
    name: str
    size: Annotated[int, Field(ge=0, le=10)] = 1
    kind: Literal["a", "b"] = "a"
    at: AwareDatetime | None = None
    inner: Inner = Inner()
    many: tuple[Inner, ...] = ()
    free: dict[str, int] = {}
    colour: Colour = Colour.RED


def variant(**changes):
    """Return Base's schema with some fields as they are told, None for those removed."""
    fields = {
        name: (about.annotation, about) for name, about in Base.model_fields.items()
    } | changes
    namespace = {"__annotations__": {}}
    for name, field in fields.items():
        if field is None:
            continue
        annotation, *default = field if isinstance(field, tuple) else (field,)
        namespace["__annotations__"][name] = annotation
        if default:
            namespace[name] = default[0]
    return type("Base", (BaseModel,), namespace).model_json_schema()


class OtherInner(BaseModel):
    count: str = ""
    note: str | None = None


class NewInner(Inner):
    more: int = 0


NewInner.__name__ = OtherInner.__name__ = "Inner"
for made in (NewInner, OtherInner):
    made.model_config["title"] = "Inner"
    made.model_rebuild(force=True)


class Violet(StrEnum):
    RED = "red"
    VIOLET = "violet"


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"size": None}, "size was removed"),
        ({"extra": str}, "extra became required"),
        ({"size": Annotated[int, Field(ge=0, le=10)]}, "size became required"),
        ({"name": int}, "name was of type string and is of integer"),
        ({"name": str | None}, "name was of type string and is of null or string"),
        ({"size": (Annotated[int, Field(ge=0, le=10)], 2)}, "size had the default 1 and has 2"),
        ({"at": (str | None, None)}, "at had the format 'date-time' and has none"),
        ({"kind": (Literal["a"], "a")}, "kind lost the value 'b'"),
        ({"colour": (Violet, Violet.RED)}, "colour lost the value 'blue'"),
        ({"size": (Annotated[int, Field(ge=1, le=10)], 1)}, "size had the minimum 0 and has 1"),
        ({"size": (Annotated[int, Field(ge=0, le=9)], 1)}, "size had the maximum 10 and has 9"),
        ({"name": Annotated[str, Field(max_length=3)]}, "name had the maxLength none and has 3"),
        ({"name": Annotated[str, Field(pattern="^a")]}, "name had the pattern none and has '^a'"),
        ({"name": Literal["x"]}, "name took any value and takes only x"),
        ({"free": (dict[str, str], {})}, "free.* was of type integer and is of string"),
        ({"many": (tuple[OtherInner, ...], ())}, "many[].count was of type integer and is of"),
        ({"inner": (OtherInner, OtherInner())}, "inner.count was of type integer and is of string"),
    ],
)
def test_each_kind_of_break_is_told_in_a_sentence(changes, sentence):
    found = breaks(Base.model_json_schema(), variant(**changes))
    assert any(one.startswith(sentence) for one in found), found


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"extra": (str, "")},
        {"extra": (str | None, None)},
        {"kind": (Literal["a", "b", "c"], "a")},
        {"size": (Annotated[int, Field(ge=0, le=20)], 1)},
        {"size": (int, 1)},
        {"inner": (NewInner, NewInner())},
        {"many": (tuple[NewInner, ...], ())},
    ],
)
def test_what_adds_or_widens_is_safe(changes):
    found = breaks(Base.model_json_schema(), variant(**changes))
    assert [one for one in found if not one.startswith("inner had the default")] == []


def test_a_dictionary_that_is_closed_is_a_break():
    old = {"type": "object", "additionalProperties": True}
    assert breaks(old, {"type": "object", "additionalProperties": False}) == [
        "the payload.* is allowed no longer"
    ]


def test_a_schema_that_contains_itself_is_compared_to_its_end():
    def tree(leaf):
        node = {
            "type": "object",
            "properties": {"next": {"$ref": "#/$defs/Node"}, "leaf": {"type": leaf}},
        }
        return {"$ref": "#/$defs/Node", "$defs": {"Node": node}}

    assert breaks(tree("string"), tree("string")) == []
    assert breaks(tree("string"), tree("number")) == ["leaf was of type string and is of number"]


SCHEMAS = [entry.event.model_json_schema() for entry in CATALOGUE.values()]


@pytest.mark.parametrize("schema", SCHEMAS, ids=lambda schema: schema["title"])
def test_nothing_breaks_itself(schema):
    assert breaks(schema, schema) == []


@given(st.sampled_from(SCHEMAS), st.data())
def test_a_removed_field_is_never_missed(schema, data):
    name = data.draw(st.sampled_from(sorted(schema["properties"])))
    rest = {key: value for key, value in schema["properties"].items() if key != name}
    assert f"{name} was removed" in breaks(schema, {**schema, "properties": rest})
