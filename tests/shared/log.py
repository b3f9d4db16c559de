"""What every log must do, whether PostgreSQL or memory stands behind it."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta
from uuid import UUID

import orjson
import pytest

from contracts.envelope import Lease
from services.chassis.clock import SystemClock
from services.chassis.errors import Refused
from services.chassis.ids import uuid7
from services.journal import facts
from services.journal.append import GroupAppender
from services.journal.history import HistoryQuestion, answer
from services.journal.records import Command, Entry
from services.journal.verify import verify

META = '{"actor":"test","occurred_at":"2026-01-01T00:00:00Z","proposer":"test"}'


def entry(stream: str, *, expected: int | None = None, **changes) -> Entry:
    fields = {
        "event_id": uuid7(),
        "stream": stream,
        "type": "environment.created",
        "schema_version": 1,
        "data": '{"name":"x"}',
        "meta": META,
        "expected": expected,
    }
    return Entry(**(fields | changes))


def command(*entries: Entry, lease: Lease | None = None) -> Command:
    return Command(entries, lease)


def a_stream() -> str:
    return f"environment/{uuid7()}"


class LogSuite:
    """Subclass it, and give the fixture `log`."""

    @pytest.fixture
    async def appender(self, log):
        appender = GroupAppender(log, SystemClock())
        running = asyncio.create_task(appender.run())
        yield appender
        running.cancel()

    async def test_the_logs_time_does_not_stand_still_when_its_clock_was_put_back(self, log):
        later = (await log.head()).now + timedelta(minutes=2)
        stream = a_stream()
        for minutes in range(2):
            await log.append([command(entry(stream))], later + timedelta(minutes=minutes))
        asked = facts.FactsQuestion(stream=stream, through=(await log.head()).position)
        at = [row["recorded_at"] for row in await log.facts_of(asked, 10)]
        assert at == [later, later + timedelta(minutes=1)]
        assert (await log.head()).now >= later + timedelta(minutes=1)

    async def test_positions_are_dense_and_versions_count_each_stream(self, log, appender):
        before = (await log.head()).position
        one, other = a_stream(), a_stream()
        verdicts = await appender.append(
            [command(entry(one)), command(entry(other), entry(one)), command(entry(one))]
        )
        assert [p - before for v in verdicts for p in v.positions] == [1, 2, 3, 4]
        assert [v.versions for v in verdicts] == [(1,), (1, 2), (3,)]

    async def test_a_proposal_is_recorded_whole_or_not_at_all(self, log, appender):
        stream, other = a_stream(), a_stream()
        await appender.append([command(entry(stream))])
        before = (await log.head()).position
        verdict = (await appender.append([command(entry(other), entry(stream, expected=0))]))[0]
        assert (verdict.outcome, verdict.stream, verdict.current) == ("conflict", stream, 1)
        assert (await log.head()).position == before

    async def test_one_refusal_never_harms_another_proposal(self, log, appender):
        stream = a_stream()
        verdicts = await appender.append(
            [
                command(entry(stream, expected=7)),
                command(entry(a_stream(), expected=0)),
                command(entry(a_stream())),
            ]
        )
        assert [v.outcome for v in verdicts] == ["conflict", "appended", "appended"]

    async def test_an_expected_version_counts_the_events_before_it_in_its_proposal(
        self, log, appender
    ):
        stream = a_stream()
        both = command(entry(stream, expected=0), entry(stream, expected=1))
        assert (await appender.append([both]))[0].versions == (1, 2)

    async def test_of_many_who_expect_the_same_version_one_wins(self, log, appender):
        stream = a_stream()
        verdicts = await asyncio.gather(
            *(appender.append([command(entry(stream, expected=0))]) for _ in range(20))
        )
        outcomes = [verdict[0].outcome for verdict in verdicts]
        assert sorted(outcomes) == ["appended"] + ["conflict"] * 19

    async def test_a_repeated_event_answers_where_it_was_recorded(self, log, appender):
        stream = a_stream()
        same = command(entry(stream, expected=0))
        first = (await appender.append([same]))[0]
        await appender.append([command(entry(stream))])
        again = (await appender.append([same]))[0]
        assert (again.outcome, again.positions) == ("duplicate", first.positions)

    async def test_the_same_event_twice_at_once_is_recorded_once(self, log, appender):
        same = command(entry(a_stream()))
        verdicts = await appender.append([same, same])
        assert [v.outcome for v in verdicts] == ["appended", "duplicate"]
        assert verdicts[0].positions == verdicts[1].positions

    @pytest.mark.parametrize(
        "change", [{"data": '{"name":"y"}'}, {"type": "environment.updated"}, {"schema_version": 2}]
    )
    async def test_a_known_id_with_other_content_is_refused(self, log, appender, change):
        stream, event_id = a_stream(), uuid7()
        await appender.append([command(entry(stream, event_id=event_id))])
        other = command(entry(stream, event_id=event_id, **change))
        assert (await appender.append([other]))[0].outcome == "other_content"

    async def test_a_known_id_among_new_ones_is_refused(self, log, appender):
        known = entry(a_stream())
        await appender.append([command(known)])
        verdict = (await appender.append([command(known, entry(a_stream()))]))[0]
        assert verdict.outcome == "other_content"

    async def test_an_older_epoch_cannot_append(self, log, appender):
        name = f"scheduler-{uuid7()}"
        lease = f"lease/{name}"
        await appender.append([command(entry(lease, expected=0))])
        mine = command(entry(a_stream()), lease=Lease(name, 1))
        assert (await appender.append([mine]))[0].outcome == "appended"
        takeover = command(entry(lease, expected=1))
        late = command(entry(a_stream()), lease=Lease(name, 1))
        verdicts = await appender.append([takeover, late])
        assert [v.outcome for v in verdicts] == ["appended", "fenced"]
        assert verdicts[1].current == 2

    async def test_telemetry_shares_positions_and_is_known_again(self, log, appender):
        stream = f"queue-samples/{uuid7()}"
        sample = command(entry(stream, telemetry=True))
        first = (await appender.append([sample, command(entry(stream, telemetry=True))]))[0]
        again = (await appender.append([sample]))[0]
        assert (again.outcome, again.positions) == ("duplicate", first.positions)
        assert (await log.read(first.positions[0] - 1, 2))[1]["version"] == 2

    async def test_what_is_read_is_what_was_written(self, log, appender):
        written = entry(a_stream(), data='{"name":"Grüße \\u2028 🚀","big":9007199254740993}')
        verdict = (await appender.append([command(written)]))[0]
        row = (await log.read(verdict.positions[0] - 1, 1))[0]
        assert (row["data"].decode(), row["meta"].decode()) == (written.data, written.meta)
        assert UUID(row["event_id"]) == UUID(written.event_id)

    async def test_history_reaches_through_the_head_whatever_is_asked_for(self, log, appender):
        stream = a_stream()
        verdict = (await appender.append([command(entry(stream)), command(entry(a_stream()))]))[1]
        headers, body = await answer(log, HistoryQuestion(types=["no.such"], after=0))
        assert headers["through"] == headers["head"] >= verdict.positions[0]
        assert body == b"[]"

    async def test_the_cursor_moves_only_from_where_it_stands(self, log, appender):
        verdict = (await appender.append([command(entry(a_stream()))]))[0]
        position = verdict.positions[0]
        row = (await log.read(position - 1, 1))[0]
        before = await log.cursor()
        assert await log.move_cursor(before, position, row["event_id"])
        assert not await log.move_cursor(before, position, row["event_id"])
        assert await log.cursor() == position

    async def test_a_sound_log_verifies(self, log, appender):
        await appender.append(
            [command(entry(a_stream(), telemetry=number % 3 == 0)) for number in range(50)]
        )
        report = await verify(log)
        assert (report.ok, report.problem) == (True, None)
        assert report.checked == (await log.head()).position

    async def test_single_facts_are_told_by_position_and_by_stream_up_to_a_position(
        self, log, appender
    ):
        one, other = a_stream(), a_stream()
        verdicts = await appender.append([command(entry(one), entry(other), entry(one))])
        first, second, third = verdicts[0].positions

        async def told(**question) -> list[int]:
            _, body = await facts.answer(log, {"op": "facts", **question})
            return [row["position"] for row in orjson.loads(body)]

        assert await told(stream=one, through=third) == [first, third]
        assert await told(stream=one, through=second) == [first]
        assert await told(positions=[second, third], through=third) == [second, third]
        assert await told(positions=[first, second], stream=one, through=third) == [
            first,
            second,
            third,
        ]
        assert await told(positions=[10**9], stream="environment/none", through=third) == []

    async def test_a_moment_is_the_last_position_recorded_by_then(self, log, appender):
        for _ in range(5):
            await appender.append([command(entry(a_stream()))])
        rows = await log.read(0, 10_000)

        async def moment(**question) -> dict:
            _, body = await facts.answer(log, {"op": "moment", **question})
            return orjson.loads(body)

        for row in rows[-5:]:
            at = row["recorded_at"]
            last = max(r["position"] for r in rows if r["recorded_at"] <= at)
            assert (await moment(at=at))["position"] == last
            found = await moment(position=row["position"])
            assert datetime.fromisoformat(found["at"]) == at
        head = (await log.head()).position
        for wrong in (
            {"position": 0},
            {"position": head + 1},
            {"at": rows[0]["recorded_at"] - timedelta(seconds=1)},
            {"at": rows[-1]["recorded_at"] + timedelta(days=1)},
        ):
            with pytest.raises(Refused):
                await moment(**wrong)
