"""Random events of any type, made from their annotations, about a few subjects."""

from __future__ import annotations

import types
from collections.abc import Collection
from datetime import datetime, timedelta
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from hypothesis import strategies as st
from pydantic import BaseModel

from contracts.catalogue import CATALOGUE
from contracts.envelope import Event, Meta, Recorded
from tests.builders import NOON

# Few of each, so that events of one history are about the same things.
SUBJECTS: dict[str, tuple[str, ...]] = {
    "model_id": ("a", "b"),
    "model_name": ("a", "b"),
    "replaced_by": ("a", "b"),
    "supported_models": ("a", "*"),
    "node_id": ("n1", "n2"),
    "gpu_uuid": ("g1", "g2", "g3"),
    "uuid": ("g1", "g2", "g3"),
    "instance_id": ("i1", "i2", "i3"),
    "replaces": ("i1", "i2"),
    "boot_id": ("boot-1", "boot-2"),
    "strategy_id": ("s1", "s2"),
    "webhook_id": ("w1", "w2"),
    "policy": ("busy_queue_scaling", "unheard_of"),
    "name": ("a", "alerter"),
    "description": ("", "Grüße 🚀"),
    "summary": ("x", "Grüße \u2028 🚀"),
    "error": ("x", 'a "quoted" \\ line\n'),
    "code": ("exited", "not_found"),
    "rule": ("node_offline", "queue_growth"),
    "subject": ("n1", "a"),
}
SCALARS = st.sampled_from((None, True, 0, 3, 2**53, -0.0, 0.1, 1.5, "x", "Grüße \u2028 🚀", ""))
PLAIN = {
    str: st.sampled_from(("x", "y")),
    int: st.sampled_from((1, 2, 3)),
    float: st.sampled_from((1.0, 0.1, 2.5, 30)),
    bool: st.booleans(),
    datetime: st.sampled_from((NOON, NOON + timedelta(microseconds=1))),
}


def values(name: str, hint: Any) -> st.SearchStrategy[Any]:
    """Return what a field may hold, as JSON values or what pydantic makes of them."""
    origin, arguments = get_origin(hint), get_args(hint)
    if origin is Annotated:
        return values(name, arguments[0])
    if origin in (Union, types.UnionType):
        some = [each for each in arguments if each is not type(None)]
        return SCALARS if len(some) > 1 else st.none() | values(name, some[0])
    if origin is None:
        return _plain(name, hint)
    return {
        Literal: lambda: st.sampled_from(arguments),
        tuple: lambda: st.lists(values(name, arguments[0]), max_size=3),
        dict: lambda: st.dictionaries(st.sampled_from(("k1", "k2")), values("", arguments[-1])),
    }[origin]()


def _plain(name: str, hint: Any) -> st.SearchStrategy[Any]:
    if isinstance(hint, type) and issubclass(hint, BaseModel):
        return fields_of(hint)
    if hint is str and name in SUBJECTS:
        return st.sampled_from(SUBJECTS[name])
    return PLAIN.get(hint, PLAIN[datetime])


def fields_of(model: type[BaseModel]) -> st.SearchStrategy[dict[str, Any]]:
    """Return what a model may be made of; what has a default may be left unsaid."""
    made = {
        name: (each, values(name, each.annotation)) for name, each in model.model_fields.items()
    }
    unknown = {"a_newer_field": st.just({"deep": [1, 2.5, None, "x"]})}
    return st.fixed_dictionaries(
        {name: some for name, (each, some) in made.items() if each.is_required()},
        optional={name: some for name, (each, some) in made.items() if not each.is_required()}
        | unknown,
    )


def an_event(type_: str) -> st.SearchStrategy[Event]:
    """Return events of one type."""
    event = next(entry.event for (name, _), entry in CATALOGUE.items() if name == type_)
    return fields_of(event).map(event.model_validate)


@st.composite
def random_logs(draw: st.DrawFn, wanted: Collection[str], max_size: int = 40) -> list[Recorded]:
    """Return a log of events of these types, as a journal would have recorded them."""
    chosen = draw(st.lists(st.sampled_from(sorted(wanted)), min_size=1, max_size=max_size))
    now, log = NOON, []
    for position, type_ in enumerate(chosen, 1):
        now += timedelta(seconds=draw(st.sampled_from((0, 0.000001, 1, 60, 200, 4000))))
        log.append(as_recorded(draw(an_event(type_)), position, now))
    return log


def as_recorded(event: Event, position: int, now: datetime) -> Recorded:
    """Return an event as the log gives it to a follower; only JSON comes from there."""
    return Recorded(
        position=position,
        event_id=f"00000000-0000-7000-8000-{position:012d}",
        stream=f"{event.type.split('.')[0]}/{position % 3}",
        version=position,
        type=event.type,
        schema_version=event.schema_version,
        data=event.model_dump(mode="json", exclude_unset=True),
        recorded_at=now,
        meta=Meta("test", now.isoformat(), "test", correlation_id=None if position % 2 else "c"),
    )
