"""Backup and restore on PostgreSQL: the same log elsewhere, or a refusal that says why."""

import asyncio
import gzip
from contextlib import suppress
from datetime import UTC, datetime

import orjson
import pytest

from services.chassis.clock import SystemClock
from services.chassis.database import connect_pool
from services.chassis.errors import Bug, Refused, Unavailable
from services.journal import backup as backing
from services.journal.adapters.backup_directory import Directory
from services.journal.adapters.postgres import PostgresLog
from services.journal.adapters.postgres_copies import PostgresSource, PostgresTarget
from services.journal.adapters.postgres_window import PostgresWindow
from services.journal.append import GroupAppender
from services.journal.backup import SECRETS, backup
from services.journal.restore import Wish, accept_rewind, restore
from services.journal.verify import verify
from services.journal.window import forget
from tests.old_log import made, put
from tests.platform import new_database
from tests.shared.log import a_stream, command, entry

NOW = datetime.now(UTC)


@pytest.fixture
def small_chunks(monkeypatch):
    monkeypatch.setattr(backing, "CHUNK_POSITIONS", 10)


class Place:
    """A database with a log, its pools, and a fresh one beside it."""

    def __init__(self, database, owner, pool) -> None:
        self.database, self.owner = database, owner
        self.pool, self.log = pool, PostgresLog(pool)

    async def forget(self) -> None:
        """Drop what is old, as often as a reader is in the way."""
        while True:
            with suppress(Unavailable):
                published = await self.log.cursor()
                await forget(PostgresWindow(self.pool), NOW, window_days=30, published=published)
                return

    async def all(self, table: str):
        return [
            tuple(row) for row in await self.owner.fetch(f"select * from {table} order by 1, 2")
        ]

    async def restored(self, directory, **wish):
        target = PostgresTarget(self.owner, self.database.owner_url())
        return await restore(Directory(directory), target, Wish(**wish))


@pytest.fixture
async def places(engines):
    opened = []

    async def new() -> Place:
        database = new_database(engines)
        owner = await connect_pool(database.owner_url(), service="test", min_size=1, max_size=4)
        pool = await connect_pool(database.url("journal"), service="journal", max_size=4)
        opened.append(Place(database, owner, pool))
        return opened[-1]

    yield new
    for place in opened:
        await place.owner.close()
        await place.pool.close()
        place.database.drop()


@pytest.fixture
async def place(places, small_chunks):
    place = await places()
    await put(place.owner, await made([40, 35, 10]))
    await place.forget()
    await place.log.make_partitions()
    await place.log.append(
        [command(entry("queue-samples/0", telemetry=True)), command(entry(a_stream()))]
    )
    return place


async def backed_up(place, directory, *extra):
    files = Directory(directory)
    files.prepare()
    source = place.owner if extra else place.pool
    return await backup(PostgresSource(source, files), files, extra=extra)


TABLES = ("log.facts", "log.telemetry", "log.seals", "log.telemetry_heads")


async def test_what_is_restored_is_the_same_log(place, places, tmp_path):
    manifest = await backed_up(place, tmp_path / "b")
    elsewhere = await places()
    report = await elsewhere.restored(tmp_path / "b")
    assert (report["ok"], report["problem"], report["rewinds"]) == (True, None, [])
    assert report["hash"] == manifest.head.facts_hash == (await verify(place.log)).hash
    assert report["seals"] == 2
    for table in TABLES:
        assert await elsewhere.all(table) == await place.all(table)
    assert (await elsewhere.log.head()).event_id == (await place.log.head()).event_id
    assert await elsewhere.log.cursor() == manifest.head.position


async def test_a_restored_log_goes_on(place, places, tmp_path):
    await backed_up(place, tmp_path / "b")
    elsewhere = await places()
    await elsewhere.restored(tmp_path / "b")
    head = (await elsewhere.log.head()).position
    sample = command(entry("queue-samples/0", telemetry=True))
    verdicts = await elsewhere.log.append([sample, command(entry("environment/0"))])
    assert [v.positions for v in verdicts] == [(head + 1,), (head + 2,)]
    assert [v.versions for v in verdicts] == [(11,), (7,)]
    assert (await verify(elsewhere.log)).ok


async def test_a_backup_is_of_one_moment_while_appends_and_drops_go_on(
    places, small_chunks, tmp_path
):
    place = await places()
    await put(place.owner, await made(range(60, 40, -1)))
    await place.log.make_partitions()
    appender = GroupAppender(place.log, SystemClock())
    running = asyncio.create_task(appender.run())
    stop = asyncio.Event()

    async def append():
        while not stop.is_set():
            sample = entry("queue-samples/0", telemetry=True)
            await appender.append([command(sample), command(entry(a_stream()))])

    appending = asyncio.create_task(append())
    manifest, _ = await asyncio.gather(backed_up(place, tmp_path / "b"), place.forget())
    stop.set()
    await appending
    running.cancel()
    assert len(await place.log.seals()) == 20
    report = await (await places()).restored(tmp_path / "b")
    assert (report["ok"], report["problem"]) == (True, None)
    assert report["hash"] == manifest.head.facts_hash


async def test_a_backup_that_was_cut_off_goes_on_with_what_it_has(
    place, places, tmp_path, monkeypatch
):
    copied = []
    whole = PostgresSource.copy

    async def copy(self, chunk):
        copied.append(chunk.file)
        if len(copied) == 4:
            raise KeyboardInterrupt
        return await whole(self, chunk)

    monkeypatch.setattr(PostgresSource, "copy", copy)
    with pytest.raises(KeyboardInterrupt):
        await backed_up(place, tmp_path / "b")
    elsewhere = await places()
    with pytest.raises(Refused, match="no whole backup"):
        await elsewhere.restored(tmp_path / "b")
    (tmp_path / "b" / "facts-000000000001-000000000010.copy.gz.part").write_bytes(b"cut off")
    first = copied[:3]
    manifest = await backed_up(place, tmp_path / "b")
    assert not set(first) & set(copied[4:])
    assert (await elsewhere.restored(tmp_path / "b"))["ok"]
    left = {file.name for file in (tmp_path / "b").iterdir()}
    assert left == {"manifest.json", *(chunk.file for chunk in manifest.chunks)}


async def test_chunks_of_a_day_that_was_sealed_since_are_copied_anew(
    places, small_chunks, tmp_path, monkeypatch
):
    place = await places()
    await put(place.owner, await made([40, 10]))
    whole = PostgresSource.copy

    async def copy(self, chunk):
        if chunk.after >= 10 and chunk.table == "telemetry" and not await place.log.seals():
            await place.forget()
        return await whole(self, chunk)

    monkeypatch.setattr(PostgresSource, "copy", copy)
    manifest = await backed_up(place, tmp_path / "b")
    report = await (await places()).restored(tmp_path / "b")
    assert (report["ok"], report["problem"], report["seals"]) == (True, None, 1)
    assert manifest.head.position == 17


async def test_a_backup_is_never_written_over_another_or_among_other_things(place, tmp_path):
    await backed_up(place, tmp_path / "b")
    with pytest.raises(Refused, match="there already"):
        await backed_up(place, tmp_path / "b")
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "thesis.txt").touch()
    with pytest.raises(Refused, match=r"thesis\.txt"):
        await backed_up(place, tmp_path / "home")


async def test_a_log_that_is_not_empty_is_not_restored_into(place, tmp_path):
    await backed_up(place, tmp_path / "b")
    with pytest.raises(Refused, match="not empty"):
        await place.restored(tmp_path / "b")
    assert (await verify(place.log)).ok


def damage_byte(file):
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)


def cut(file):
    file.write_bytes(file.read_bytes()[:-20])


def forge(file):
    """Change a row and pack it again, so that only the hash in the manifest can tell."""
    file.write_bytes(gzip.compress(gzip.decompress(file.read_bytes()).replace(b'"x"', b'"y"')))


@pytest.mark.parametrize("harm", [damage_byte, cut, forge, lambda file: file.unlink()])
async def test_a_damaged_backup_restores_nothing(place, places, tmp_path, harm):
    manifest = await backed_up(place, tmp_path / "b")
    harm(tmp_path / "b" / next(c.file for c in manifest.chunks if c.table == "facts"))
    elsewhere = await places()
    with pytest.raises(Refused, match=r"facts-.*copy\.gz"):
        await elsewhere.restored(tmp_path / "b")
    assert (await elsewhere.log.head()).position == 0
    assert await elsewhere.all("log.facts") == []


async def test_a_forged_manifest_does_not_verify(place, places, tmp_path):
    await backed_up(place, tmp_path / "b")
    file = tmp_path / "b" / "manifest.json"
    said = orjson.loads(file.read_bytes())
    said["head"]["facts_hash"] = "00" * 32
    file.write_bytes(orjson.dumps(said))
    report = await (await places()).restored(tmp_path / "b")
    assert not report["ok"]
    assert "the manifest says" in report["problem"]


async def test_a_backup_of_a_newer_schema_is_refused(place, places, tmp_path):
    await backed_up(place, tmp_path / "b")
    file = tmp_path / "b" / "manifest.json"
    said = orjson.loads(file.read_bytes())
    said["head"]["migrations"].append("9999_tomorrow.sql")
    file.write_bytes(orjson.dumps(said))
    with pytest.raises(Refused, match="9999_tomorrow"):
        await (await places()).restored(tmp_path / "b")


async def test_who_saw_more_than_the_backup_holds_is_named(place, places, tmp_path):
    await backed_up(place, tmp_path / "b")
    elsewhere = await places()
    later = "01932d5e-7b1c-7c3a-9f00-2b6a4d1e8c55"
    elsewhere.database.superuser_sql(
        f"update rm.checkpoints set position = 900, event_id = '{later}';"
        f"update log.cursors set position = 905, event_id = '{later}'"
    )
    with pytest.raises(Refused, match="the log would be rewound") as refused:
        await elsewhere.restored(tmp_path / "b")
    assert "the cursor of the publisher stands at 905" in refused.value.detail
    assert "the checkpoint rm stands at 900" in refused.value.detail
    assert (await elsewhere.log.head()).position == 0
    report = await elsewhere.restored(tmp_path / "b", accept_rewind=True)
    assert len(report["rewinds"]) == 2
    assert await elsewhere.log.cursor() == 28


async def test_a_log_that_was_put_back_is_gone_on_with_once_that_is_accepted(places):
    place = await places()
    await put(place.owner, await made([10]))
    target = PostgresTarget(place.owner, place.database.owner_url())
    with pytest.raises(Refused, match="was not rewound"):
        await accept_rewind(target)
    place.database.superuser_sql(
        "set session_replication_role = replica; delete from log.telemetry where position > 6;"
        " delete from log.facts where position > 6"
    )
    with pytest.raises(Bug, match="accept-rewind"):
        await place.log.cursor()
    found = await accept_rewind(target)
    assert (found["position"], len(found["rewinds"])) == (6, 1)
    assert await place.log.cursor() == 6
    assert (await verify(place.log)).rewinds == []


async def test_secrets_go_along_only_when_asked_for_and_stay_encrypted(place, places, tmp_path):
    await place.owner.execute(
        "insert into vault.secrets (secret_id, version, ciphertext, nonce, readers)"
        " values ('s', 1, '\\x00ff', '\\x01', '{queue_sampler}')"
    )
    without = await backed_up(place, tmp_path / "without")
    assert not [chunk for chunk in without.chunks if chunk.table == SECRETS]
    await backed_up(place, tmp_path / "with", SECRETS)
    one, other = await places(), await places()
    await one.restored(tmp_path / "with")
    assert await one.all("vault.secrets") == []
    await other.restored(tmp_path / "with", with_secrets=True)
    assert await other.all("vault.secrets") == await place.all("vault.secrets")
