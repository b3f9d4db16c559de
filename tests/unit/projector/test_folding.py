"""Rows are the fold of the log, however it is cut into batches."""

from contextlib import nullcontext

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from contracts.envelope import Recorded
from services.chassis.errors import Fenced
from services.projector.handlers import Projector, Stuck
from services.projector.handlers.folder import Folder
from services.projector.handlers.projecting import Tables
from services.projector.projections import PROJECTIONS
from services.projector.projections.alerts import ALERTS
from services.projector.projections.models import MODELS
from tests import fleet
from tests.random_fleets import HISTORY
from tests.recorded import recorded
from tests.unit.projector.tables import MemoryLog, MemoryTables, projected


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(said=HISTORY)
async def test_batches_of_one_seven_and_a_thousand_make_the_same_rows(said):
    events = recorded(said)
    whole = (await projected(events, batch=1000)).whole()
    for batch in (1, 7):
        assert (await projected(events, batch=batch)).whole() == whole


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(said=HISTORY)
async def test_the_versions_of_a_row_leave_no_gap_and_never_overlap(said):
    tables = await projected(recorded(said))
    for projection in PROJECTIONS:
        ends: dict[str, int] = {}
        for key, start, end, _ in sorted(tables.were[projection.name], key=lambda row: row[1]):
            assert ends.get(key, 0) <= start < end
            ends[key] = end
        for key, (position, _) in tables.now[projection.name].items():
            assert ends.get(key, position) <= position


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(said=HISTORY, at=st.integers(0, 60))
async def test_any_earlier_state_can_be_read_back_from_rows_and_their_versions(said, at):
    events = recorded(said)
    at = min(at, len(events))
    then, now = await projected(events[:at]), await projected(events)
    for projection in PROJECTIONS:
        if not projection.versioned:
            continue
        rows = {
            key: raw for key, (position, raw) in now.now[projection.name].items() if position <= at
        } | {key: raw for key, start, end, raw in now.were[projection.name] if start <= at < end}
        assert rows == {key: raw for key, (_, raw) in then.now[projection.name].items()}


async def test_an_indigestible_event_stops_there_with_all_before_it_projected():
    events = recorded([fleet.an_environment(), fleet.a_model(), fleet.a_node()])
    del events[1].data["queue"]
    tables = MemoryTables()
    projector = Projector(MemoryLog(events), tables)
    with pytest.raises(Stuck, match=r"models cannot digest model.registered.*position 2"):
        await projector.catch_up()
    assert tables.stands.position == 1
    assert tables.row("environments", "prod")
    assert tables.row("nodes", "n1") is None


async def test_an_event_that_an_operator_let_pass_is_skipped_by_all_projections():
    events = recorded([fleet.an_environment(), fleet.a_model(), fleet.a_node()])
    del events[1].data["queue"]
    log, tables = MemoryLog(events), MemoryTables()
    log.let_pass = {2}
    assert await Projector(log, tables).catch_up() == 3
    assert tables.row("models", "llama") is None
    assert tables.row("nodes", "n1")


def some_raised_then_indigestible(raised: int) -> list[Recorded]:
    events = recorded([*(fleet.raised() for _ in range(raised)), fleet.a_model()])
    del events[-1].data["queue"]
    return events


@pytest.mark.parametrize("is_let_pass", [False, True])
@pytest.mark.parametrize("raised", [2, 3, 4, 5, 7])
async def test_nothing_of_the_batch_before_an_indigestible_event_is_lost(raised, is_let_pass):
    events = some_raised_then_indigestible(raised)
    log, tables = MemoryLog(events), MemoryTables()
    log.let_pass = {len(events)} if is_let_pass else set()
    with nullcontext() if is_let_pass else pytest.raises(Stuck):
        await Projector(log, tables, batch=3).catch_up()
    assert tables.whole()[:3] == (await projected(events[:-1])).whole()[:3]
    assert tables.row("alerts", "node_offline:n1")["raised_times"] == raised
    assert tables.stands.position == raised + is_let_pass


async def test_what_a_joined_build_cannot_digest_is_folded_once_by_the_live_ones():
    log = MemoryLog(some_raised_then_indigestible(2))
    live, building = MemoryTables(), MemoryTables()
    projector = Projector(log, live, models=[ALERTS])
    projector.join(Tables(building, Folder(building, [ALERTS, MODELS])))
    with pytest.raises(Stuck):
        await projector.catch_up()
    log.let_pass = {3}
    await projector.catch_up()
    for tables in (live, building):
        assert tables.row("alerts", "node_offline:n1")["raised_times"] == 2
        assert tables.stands.position == 3


async def test_a_version_newer_than_the_catalogue_is_not_guessed_at():
    events = recorded([fleet.an_environment()])
    object.__setattr__(events[0], "schema_version", 99)
    with pytest.raises(Stuck, match="version 99"):
        await projected(events)


async def test_a_projector_whose_checkpoint_was_moved_is_fenced_and_writes_nothing():
    tables = MemoryTables()
    first = Projector(MemoryLog(recorded([fleet.an_environment()])), tables)
    await first.catch_up()
    events = recorded([fleet.an_environment(), fleet.a_node(), fleet.a_node("n2")])
    second = Projector(MemoryLog(events[:2]), tables)
    await second.catch_up()
    first._log = MemoryLog(events)
    with pytest.raises(Fenced):
        await first.step()
    assert tables.row("nodes", "n2") is None
