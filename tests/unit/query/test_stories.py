"""What belongs together is told together, once, and wholly."""

from __future__ import annotations

from datetime import timedelta

from hypothesis import assume, given, settings
from hypothesis import strategies as st

from contracts.events.alert import AlertDelivered, AlertResolved
from contracts.events.instance import (
    InstanceDied,
    InstanceStarted,
    InstanceStartFailed,
    InstanceStopAsked,
    InstanceStopped,
)
from contracts.events.instance import InstanceStopRequested as StopRequested
from services.query.decide.asked import Asked
from services.query.decide.groups import groups
from services.query.decide.lines import Around
from services.query.decide.spans import spans
from services.query.handlers import TimeMachine
from tests import fleet
from tests.histories import START, MemoryEvents, Told

DASH = "\N{EN DASH}"


def told(log, kind="model", around=None):
    return groups(spans(log.events), kind, around or Around())


def sentences(log, kind="model"):
    return [group.what for group in told(log, kind)]


def a_run(log, instance="i-1", end=InstanceDied, *, lasts_s=60, gap_s=5, **fields):
    log.say(fleet.start_requested(instance))
    log.later(10)
    log.say(fleet.of_instance(InstanceStarted, instance))
    log.later(lasts_s)
    if end is not None:
        log.say(fleet.of_instance(end, instance, **fields))
        log.later(gap_s)


def test_a_run_goes_on_until_its_end_is_known():
    log = Told()
    a_run(log, end=None)
    assert sentences(log) == ["i-1 runs since 14:00 on GPU 0 of n1"]
    assert told(log)[0].ended_at is None
    log.say(fleet.of_instance(StopRequested, "i-1"))
    assert sentences(log) == ["i-1 is being stopped since 14:01 on GPU 0 of n1"]


def test_a_worker_that_never_served_did_not_start():
    log = Told()
    log.say(fleet.start_requested("i-1"))
    assert sentences(log, "instance") == ["is starting since 14:00 on GPU 0 of n1"]
    log.say(fleet.of_instance(InstanceStartFailed, "i-1"))
    assert sentences(log, "instance") == ["did not start on GPU 0 of n1 at 14:00: out of memory"]
    other = Told()
    other.say(fleet.start_requested("i-2"))
    other.say(fleet.of_instance(InstanceStopped, "i-2"))
    assert sentences(other, "gpu") == ["Llama (i-2) was stopped before it served at 14:00"]


def test_failures_alike_close_together_are_one_line_and_others_are_not():
    log = Told()
    for number in range(4):
        a_run(log, f"i-{number}")
    a_run(log, "i-4", because="rebooted")
    a_run(log, "i-5", gap_s=700)
    a_run(log, "i-6")
    assert sentences(log) == [
        "failed 4 times in 5 min: killed by SIGKILL",
        f"i-4 ran 14:05:10{DASH}14:06:10 on GPU 0 of n1 (60 s): its node was rebooted",
        f"i-5 ran 14:06:25{DASH}14:07:25 on GPU 0 of n1 (60 s): killed by SIGKILL",
        f"i-6 ran 14:19:15{DASH}14:20:15 on GPU 0 of n1 (60 s): killed by SIGKILL",
    ]


def test_a_run_that_ended_well_parts_the_failures_before_from_those_after():
    log = Told()
    a_run(log, "i-1")
    a_run(log, "i-2")
    a_run(log, "i-3", InstanceStopped)
    a_run(log, "i-4")
    assert [group.code for group in told(log)] == ["restarts", "run", "run"]


def test_an_interval_opened_twice_is_one_and_what_ended_what_never_began_stands_alone():
    log = Told()
    log.say(fleet.floor_met())
    log.say(fleet.floor_unmet())
    log.later(30)
    log.say(fleet.floor_unmet())
    log.later(30)
    log.say(fleet.floor_met())
    assert sentences(log) == [
        "model llama has the 1 instances it must have",
        f"model llama was below its floor of 1 14:00:00{DASH}14:01:00 (60 s): queue is busy",
    ]


def test_an_alert_says_how_many_were_told():
    log = Told()
    raised = log.say(fleet.raised())
    for webhook in ("w-1", "w-2", "w-2"):
        fields = {"alert_id": "node_offline:n1", "webhook_id": webhook, "status_code": 200}
        told_ = AlertDelivered(message_id=raised.event_id, attempt=1, **fields)
        log.say(("alert/node_offline:n1", told_), raised)
    assert sentences(log) == ["alert since 14:00: n1 is silent, 2 webhooks told"]
    over = AlertResolved(alert_id="node_offline:n1", rule="node_offline", subject="n1")
    log.say(("alert/node_offline:n1", over))
    assert sentences(log) == [f"alert 14:00:00{DASH}14:00:00 (0 s): n1 is silent, 2 webhooks told"]


def test_what_a_queue_and_a_node_went_through_is_told_from_its_first_event():
    log = Told()
    log.say(fleet.unreachable())
    log.say(fleet.went_offline())
    log.say(fleet.quarantined("GPU-n1-0"))
    log.later(timedelta(hours=25).total_seconds())
    log.say(fleet.recovered())
    assert sentences(log) == [
        f"queue of llama could not be read 4 May 14:00 {DASH} 5 May 15:00 (1 d 1 h): 401",
        "node n1 is offline since 14:00: timed out",
        "GPU GPU-n1-0 is in quarantine since 14:00: foreign process",
    ]


# For random histories: whatever the page's size and order, everything is told, and once.

DELIVERED = AlertDelivered(
    message_id="m-1", alert_id="node_offline:n1", webhook_id="w-1", attempt=1, status_code=200
)
RESOLVED = AlertResolved(alert_id="node_offline:n1", rule="node_offline", subject="n1")
STEPS = st.lists(
    st.tuples(
        st.sampled_from(
            (
                fleet.went_offline,
                fleet.came_online,
                fleet.floor_unmet,
                fleet.floor_met,
                fleet.deferred,
                lambda: fleet.start_requested("i-1"),
                lambda: fleet.of_instance(InstanceStarted, "i-1"),
                lambda: fleet.of_instance(InstanceDied, "i-1"),
                lambda: fleet.of_instance(InstanceStopped, "i-1"),
                lambda: (
                    "instance/i-1",
                    InstanceStopAsked(instance_id="i-1", node_id="n1"),
                ),
                lambda: fleet.start_requested("i-2"),
                lambda: fleet.of_instance(InstanceStopped, "i-2"),
                lambda: fleet.allocated("GPU-n1-0", "i-1"),
                lambda: fleet.freed("GPU-n1-0", "i-1"),
                fleet.unreachable,
                fleet.recovered,
                fleet.a_model,
                fleet.raised,
                lambda: ("alert/node_offline:n1", DELIVERED),
                lambda: ("alert/node_offline:n1", RESOLVED),
            )
        ),
        st.sampled_from((0, 1, 60, 900)),
    ),
    min_size=1,
    max_size=30,
)
SUBJECTS = (
    ("model", "llama"),
    ("node", "n1"),
    ("gpu", "GPU-n1-0"),
    ("queue", "llama"),
    ("alert", "node_offline:n1"),
    ("webhook", "w-1"),
)


async def _pages(machine, asked):
    found, after = [], None
    while True:
        page = await machine.history(Asked(**{**asked, "after": after}))
        found.append(page.items)
        if page.next_cursor is None:
            return found
        after = int(page.next_cursor)


@settings(deadline=None, max_examples=80)
@given(
    steps=STEPS,
    limit=st.integers(1, 5),
    newest_first=st.booleans(),
    subject=st.sampled_from(SUBJECTS),
)
async def test_every_story_is_told_once_wholly_and_in_order(steps, limit, newest_first, subject):
    log = Told()
    log.say(fleet.a_model())
    log.say(fleet.a_node())
    for say, pause_s in steps:
        log.later(pause_s)
        log.say(say())
    machine = TimeMachine(MemoryEvents(log.events))
    kind, id_ = subject
    assume(any(key.startswith(f"{kind}/{id_} ") for key, _ in MemoryEvents(log.events).entries))
    asked = {"kind": kind, "id": id_, "zoom": "groups", "newest_first": newest_first}
    (whole,) = await _pages(machine, asked | {"limit": 200})
    pages = await _pages(machine, asked | {"limit": limit})
    assert all(len(page) <= limit for page in pages)
    counted = [group for page in pages for group in page]
    assert sum(group.events for group in counted) == sum(group.events for group in whole)
    firsts = [group.first.position for group in whole if group.code != "event"]
    assert len(set(firsts)) == len(firsts)
    lines = await _pages(machine, asked | {"zoom": "timeline", "limit": limit})
    positions = [line.position for page in lines for line in page]
    assert positions == sorted(set(positions), reverse=newest_first)


@settings(deadline=None, max_examples=40)
@given(steps=STEPS, data=st.data())
async def test_a_history_as_of_a_position_is_that_of_the_log_until_then(steps, data):
    log = Told()
    log.say(fleet.a_model())
    for say, pause_s in steps:
        log.later(pause_s)
        log.say(say())
    position = data.draw(st.integers(1, len(log.events)))
    for zoom in ("groups", "timeline", "events"):
        asked = Asked("model", "llama", zoom, 200, as_of=position)
        then = await TimeMachine(MemoryEvents(log.events)).history(asked)
        short = TimeMachine(MemoryEvents(log.events[:position]))
        assert then == await short.history(Asked("model", "llama", zoom, 200))


async def test_moments_bound_a_history_from_both_sides():
    log = Told()
    for _ in range(5):
        log.say(fleet.floor_unmet())
        log.later(10)
    machine = TimeMachine(MemoryEvents(log.events))
    since, until = START + timedelta(seconds=10), START + timedelta(seconds=30)
    page = await machine.history(Asked("model", "llama", "events", 50, since=since, until=until))
    assert [event.position for event in page.items] == [4, 3, 2]
