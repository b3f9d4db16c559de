"""What silence means: a node offline, or we suspect ourselves; never a death."""

from copy import deepcopy

from hypothesis import given as for_all
from hypothesis import strategies as st

from contracts.events.node import FleetSilenceCleared, FleetSilenceSuspected, NodeWentOffline
from services.node_monitor import decide
from services.node_monitor.decide import Patience
from services.node_monitor.state import Watch
from tests.unit.node_monitor.builders import NOON, given, offline, online, registered

PATIENCE = Patience()
SUSPECTED = FleetSilenceSuspected(silent=2, nodes=3, window_s=30.0)


def a_fleet(size):
    names = [f"n{number}" for number in range(1, size + 1)]
    return [event for name in names for event in (registered(name), online(name))]


def heard(at_s):
    watch = Watch(0.0)
    watch.answer(at_s, NOON)
    return watch


def silent(since_s, misses=3, error="no answer"):
    watch = heard(since_s)
    for number in range(misses):
        watch.miss(since_s + 2.0 * (number + 1), error)
    return watch


def when_listening(state, now_s=100.0, **watches):
    before = deepcopy(vars(state)), deepcopy(watches)
    proposals = decide.silence(state, watches, now_s, PATIENCE)
    assert (vars(state), watches) == before
    return [draft.event for drafts in proposals for draft in drafts]


def test_a_fleet_that_answers_is_left_alone():
    assert when_listening(given(*a_fleet(2)), n1=heard(99), n2=heard(99)) == []


def test_a_silent_node_goes_offline_with_what_was_last_known():
    said = when_listening(given(*a_fleet(3)), n1=silent(85), n2=heard(99), n3=heard(99))
    assert said == [
        NodeWentOffline(node_id="n1", silent_s=15.0, error="no answer", last_seen_at=NOON)
    ]


def test_the_only_node_goes_offline_too():
    said = when_listening(given(*a_fleet(1)), n1=silent(85))
    assert [event.node_id for event in said] == ["n1"]


def test_a_node_that_never_answered_goes_offline_once():
    never = Watch(80.0)
    for at_s in (82.0, 84.0, 86.0):
        never.miss(at_s, "refused")
    said = when_listening(given(registered("n1")), n1=never)
    assert said == [NodeWentOffline(node_id="n1", silent_s=20.0, error="refused")]
    assert when_listening(given(registered("n1"), offline("n1")), n1=never) == []


def test_two_missed_questions_are_not_silence():
    assert when_listening(given(*a_fleet(1)), n1=silent(80, misses=2)) == []


def test_a_short_silence_is_not_silence():
    assert when_listening(given(*a_fleet(1)), now_s=94.0, n1=silent(85)) == []


def test_nobody_is_judged_before_the_others_were_heard():
    said = when_listening(given(*a_fleet(3)), n1=silent(85), n2=heard(86), n3=heard(86))
    assert said == []


def test_when_most_nodes_are_silent_we_suspect_ourselves_and_nobody_else():
    said = when_listening(given(*a_fleet(3)), n1=silent(85), n2=silent(88, 1), n3=heard(99))
    assert said == [SUSPECTED]


def test_half_of_the_nodes_is_not_most():
    fleet = {"n1": silent(85), "n2": silent(85), "n3": heard(99), "n4": heard(99)}
    said = when_listening(given(*a_fleet(4)), **fleet)
    assert {event.node_id for event in said} == {"n1", "n2"}


def test_nodes_that_fell_silent_just_before_count_too():
    state = given(*a_fleet(3), offline("n1"))
    said = when_listening(state, n1=silent(75), n2=silent(85), n3=heard(99))
    assert said == [SUSPECTED]


def test_nodes_offline_for_long_do_not_count():
    state = given(*a_fleet(4), offline("n1"), offline("n2"))
    fleet = {"n1": silent(10), "n2": silent(10), "n3": silent(85), "n4": heard(99)}
    assert [event.node_id for event in when_listening(state, **fleet)] == ["n3"]


def test_while_we_suspect_ourselves_nobody_goes_offline():
    state = given(*a_fleet(3), SUSPECTED)
    assert when_listening(state, n1=silent(50), n2=silent(50), n3=heard(99)) == []


def test_suspicion_ends_when_half_of_the_nodes_answer():
    state = given(*a_fleet(3), SUSPECTED)
    said = when_listening(state, n1=silent(50), n2=heard(99), n3=heard(99))
    assert said == [FleetSilenceCleared(silent=1, nodes=3)]


def test_a_new_monitor_does_not_clear_a_suspicion_before_it_has_heard_anybody():
    state = given(*a_fleet(3), SUSPECTED)
    assert when_listening(state, n1=Watch(99.0), n2=Watch(99.0), n3=Watch(99.0)) == []


def test_suspicion_ends_when_there_is_no_fleet_left_to_suspect():
    state = given(*a_fleet(1), SUSPECTED)
    assert when_listening(state, n1=silent(50)) == [FleetSilenceCleared(silent=1, nodes=1)]


def test_what_was_silent_while_we_were_away_is_forgiven():
    watch = silent(10)
    watch.forgive(100.0)
    assert when_listening(given(*a_fleet(1)), n1=watch) == []
    assert watch.heard_s == 100.0


def test_a_node_that_is_no_longer_registered_is_not_judged():
    assert when_listening(given(), n1=silent(50)) == []


moments = st.one_of(
    st.builds(heard, st.floats(0, 100)),
    st.builds(silent, st.floats(0, 100), st.integers(1, 5)),
    st.builds(Watch, st.floats(0, 100)),
)


@for_all(st.lists(moments, min_size=2, max_size=8))
def test_no_node_goes_offline_while_most_of_the_fleet_is_silent(watches):
    fleet = {f"n{number}": watch for number, watch in enumerate(watches, start=1)}
    said = when_listening(given(*a_fleet(len(watches))), **fleet)
    quiet = [watch for watch in watches if watch.missed]
    if len(quiet) > 1 and 2 * len(quiet) > len(watches):
        assert not any(isinstance(event, NodeWentOffline) for event in said)
    assert all(isinstance(e, (NodeWentOffline, FleetSilenceSuspected)) for e in said)
