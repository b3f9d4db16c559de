"""Following causes always ends, and every effect's chain leads back to what it came of."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contracts.events.instance import InstanceDied, InstanceStarted
from services.chassis.errors import NotFound
from services.query.decide.asked import Blamed
from services.query.handlers import TimeMachine
from tests import fleet
from tests.histories import MemoryEvents, Told


def a_log(causes):
    """A log whose events name the events at these positions as their causes, 0 for none."""
    log = Told()
    for _ in causes:
        log.say(fleet.floor_unmet())
    return [
        replace(event, meta=replace(event.meta, causation_id=_id(log.events, cause)))
        for event, cause in zip(log.events, causes, strict=True)
    ]


def _id(events, cause):
    if cause == 0:
        return None
    return events[cause - 1].event_id if cause <= len(events) else "not-an-event"


def walk(effects):
    for effect in effects:
        yield effect
        yield from walk(effect.effects)


async def blame(events, which, *, causes=200, depth=30, effects=500, as_of=None):
    asked = Blamed(which, causes, depth, effects, as_of)
    return await TimeMachine(MemoryEvents(events)).blame(asked)


CAUSES = st.lists(st.integers(0, 22), min_size=1, max_size=20)


@settings(deadline=None, max_examples=80)
@given(causes=CAUSES, data=st.data())
async def test_following_causes_ends_whatever_the_events_say(causes, data):
    events = a_log(causes)
    which = data.draw(st.integers(1, len(events)))
    found = await blame(events, which)
    chain = [which, *(cause.position for cause in found.causes)]
    assert chain == sorted(set(chain), reverse=True)
    says = causes[chain[-1] - 1]
    assert found.end == ("first" if says == 0 else "unknown")
    assert (found.unknown is None) == (found.end == "first")


@settings(deadline=None, max_examples=50)
@given(causes=CAUSES, data=st.data())
async def test_every_effect_s_chain_leads_back_to_it(causes, data):
    events = a_log(causes)
    which = data.draw(st.integers(1, len(events)))
    found = await blame(events, which)
    shown = list(walk(found.effects))
    assert len({effect.position for effect in shown}) == len(shown) == found.shown
    for effect in shown:
        back = await blame(events, effect.position)
        assert which in [cause.position for cause in back.causes]
    of_it = {
        event.position
        for event in events
        if which in [cause.position for cause in (await blame(events, event.position)).causes]
    }
    assert found.cut or of_it == {effect.position for effect in shown}


@settings(deadline=None, max_examples=40)
@given(causes=CAUSES, depth=st.integers(0, 4), effects=st.integers(0, 8), up=st.integers(0, 4))
async def test_what_is_cut_is_marked_and_nothing_else_is(causes, depth, effects, up):
    events = a_log(causes)
    for which in range(1, len(events) + 1):
        whole = await blame(events, which)
        found = await blame(events, which, causes=up, depth=depth, effects=effects)
        assert found.shown <= effects
        assert found.cut == (found.shown < whole.shown)
        assert (found.end == "cut") == (len(whole.causes) > up)
        assert found.causes == whole.causes[:up]
        assert found.first == (whole.first if found.end in ("first", "cut") else None)


async def test_the_origin_is_what_somebody_asked_for_or_what_was_seen():
    log = Told()
    cause = log.say(fleet.a_model(), who="ada")
    wanted = log.say(fleet.start_requested("i-1"), cause)
    started = log.say(fleet.of_instance(InstanceStarted, "i-1"), wanted)
    died = log.say(fleet.of_instance(InstanceDied, "i-1"), started)
    again = log.say(fleet.start_requested("i-2"), died)
    found = await blame(log.events, again.event_id)
    assert found.origin.position == died.position
    assert found.first.position == cause.position
    assert found.causes[-1].who == "ada"
    short = await blame(log.events, again.position, causes=1)
    assert (short.end, short.first.position) == ("cut", cause.position)


async def test_what_is_not_there_is_not_found():
    events = a_log([0])
    for which in (2, "00000000-0000-7000-8000-0000000000ff"):
        with pytest.raises(NotFound):
            await blame(events, which)
