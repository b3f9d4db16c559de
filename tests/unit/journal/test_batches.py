"""What is appended by one statement: as much as fits, and never out of a stream's order."""

from collections import Counter, deque

from hypothesis import given
from hypothesis import strategies as st

from contracts.envelope import Lease
from services.journal.append import _Batch, _Call, _Waiting, next_batch
from services.journal.records import Command, Entry

STREAMS = ("environment/a", "environment/b", "lease/x", "lease/y")

entries = st.builds(
    lambda id_, stream, expected: Entry(
        f"id-{id_}", stream, "t", 1, "{}", "{}", expected=0 if expected else None
    ),
    st.integers(0, 40),
    st.sampled_from(STREAMS),
    st.booleans(),
)
commands = st.builds(
    lambda found, name: Command(tuple(found), None if name is None else Lease(name, 1)),
    st.lists(entries, min_size=1, max_size=3, unique_by=lambda entry: entry.event_id),
    st.sampled_from([None, None, "x", "y"]),
)


def waiting(those) -> deque[_Waiting]:
    call = _Call([None] * len(those), None)
    return deque(_Waiting(command, call, place) for place, command in enumerate(those))


def streams(command: Command) -> set[str]:
    return {entry.stream for entry in command.entries}


def must_fit_together(batches: list[list[Command]]) -> None:
    together = [command for batch in batches for command in batch]
    ids = Counter(entry.event_id for command in together for entry in command.entries)
    assert not [id_ for id_, count in ids.items() if count > 1]
    for batch in batches:
        touched = Counter(stream for command in batch for stream in streams(command))
        expected = {e.stream for c in batch for e in c.entries if e.expected is not None}
        assert all(touched[stream] == 1 for stream in expected)
    for one, command in enumerate(together):
        for two, other in enumerate(together):
            if one != two and command.lease is not None:
                assert f"lease/{command.lease.name}" not in streams(other)
    if len(batches) == 2:
        first, second = ({s for c in batch for s in streams(c)} for batch in batches)
        assert first.isdisjoint(second)


@given(st.lists(commands, max_size=25), st.data())
def test_batches_keep_each_streams_order_and_share_nothing_they_must_not(those, data):
    queue, under_way, decided = waiting(those), [], []
    while queue or under_way:
        batch = _Batch.beside(found for found, _ in under_way)
        taken = next_batch(queue, batch) if len(under_way) < 2 else []
        if taken:
            under_way.append((batch, taken))
            must_fit_together([[item.command for item in items] for _, items in under_way])
            decided += taken
        if under_way and (not taken or data.draw(st.booleans())):
            under_way.pop(data.draw(st.integers(0, len(under_way) - 1)))
    assert sorted(item.place for item in decided) == list(range(len(those)))
    for stream in STREAMS:
        places = [item.place for item in decided if stream in streams(item.command)]
        assert places == sorted(places), stream


@given(st.integers(1, 30), st.integers(1, 10))
def test_a_batch_ends_with_the_command_that_reaches_its_limit(count, limit):
    free = [Command((Entry(f"id-{n}", "environment/a", "t", 1, "{}", "{}"),)) for n in range(count)]
    queue = waiting(free)
    taken = next_batch(queue, _Batch(), limit)
    assert [item.place for item in taken] == list(range(min(count, limit)))
    assert [item.place for item in queue] == list(range(min(count, limit), count))
