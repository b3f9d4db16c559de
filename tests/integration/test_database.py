"""The database of the chassis: JSON untouched, and errors that say whose fault it was."""

import asyncio
import subprocess
import sys

import asyncpg
import pytest

from services.chassis.database import connect_pool
from services.chassis.database_errors import mapped
from services.chassis.database_limits import BY_SERVICE, Limits
from services.chassis.errors import Bug, Conflict, Refused, Unavailable
from services.chassis.migrations import migrate
from tests.platform import new_database


@pytest.fixture(scope="module")
async def owner(database):
    owner = await connect_pool(database.owner_url(), service="test", max_size=3)
    await owner.execute("create table public.things (name text primary key, said jsonb)")
    yield owner
    await owner.close()


async def test_json_comes_and_goes_as_bytes(owner):
    row = await owner.fetchrow("select $1::json as a, $2::jsonb as b", b'{"x": 1}', '{"y":2}')
    assert (row["a"], row["b"]) == (b'{"x": 1}', b'{"y": 2}')
    many = await owner.fetchval("select $1::jsonb[]", [b'{"x":1}', b"[2]"])
    assert many == [b'{"x": 1}', b"[2]"]


@pytest.mark.parametrize(
    ("sql", "args", "kind"),
    [
        ("insert into public.things values ('a'), ('a')", (), Conflict),
        ("select $1::bigint", (2**70,), Refused),
        ("select $1::text", ("a\0b",), Refused),
        ("select 1 / 0", (), Refused),
        ("select nonsense", (), Bug),
        ("do $$ begin raise exception 'slow' using errcode = '25P03'; end $$", (), Unavailable),
        ("do $$ begin raise exception 'moved' using errcode = 'QM001'; end $$", (), Conflict),
    ],
)
async def test_an_error_says_whose_fault_it_is(owner, sql, args, kind):
    with pytest.raises(kind) as caught:
        await owner.execute(sql, *args)
    assert type(caught.value) is kind


async def test_a_conflict_names_the_constraint(owner):
    with pytest.raises(Conflict) as caught:
        await owner.execute("insert into public.things values ('a'), ('a')")
    assert caught.value.numbers == {"sqlstate": "23505", "constraint": "things_pkey"}


async def test_a_transaction_that_fails_leaves_nothing(owner):
    async def fails():
        async with owner.transaction() as tx:
            await tx.execute("insert into public.things values ('gone')")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await fails()
    assert await owner.fetchval("select count(*) from public.things") == 0


async def test_a_lost_connection_is_unavailable_and_the_next_one_works(owner):
    pid = await owner.fetchval("select pg_backend_pid()")
    async with owner.session() as session:
        with pytest.raises(Unavailable):
            await session.execute("select pg_terminate_backend(pg_backend_pid())")
    assert await owner.fetchval("select pg_backend_pid()") != pid


async def test_a_connection_that_is_lost_while_it_is_held_is_unavailable(owner):
    async with owner.session() as session:
        pid, held = await session.fetchval("select pg_backend_pid()"), session._connection._con
        await owner.execute("select pg_terminate_backend($1)", pid)
        while not held.is_closed():  # it is noticed before it is used again
            await asyncio.sleep(0.01)
        with pytest.raises(Unavailable):
            await session.execute("select 1")


async def test_a_statement_that_takes_too_long_is_unavailable(database):
    hasty = await connect_pool(database.owner_url(), service="test", command_timeout_s=0.1)
    with pytest.raises(Unavailable):
        await hasty.execute("select pg_sleep(5)")
    await hasty.close()


async def test_whoever_waits_too_long_for_a_connection_is_told_and_is_not_queued_any_more(database):
    ours = await connect_pool(database.owner_url(), service="test", max_size=1, acquire_s=0.2)
    async with ours.session():
        for waiting in (
            ours.fetch("select 1"),
            ours.transaction().__aenter__(),
            ours.commit("select 1", within_s=5),
        ):
            with pytest.raises(Unavailable):
                await asyncio.wait_for(waiting, 5)
    assert await ours.fetchval("select 2") == 2
    await ours.close()


@pytest.mark.parametrize(
    "said",
    [
        "cannot perform operation: another operation is in progress",
        "cannot call PoolConnectionProxy.fetch(): connection has been released back to the pool",
        "connection is closed",
    ],
)
def test_a_connection_on_which_the_server_said_its_last_word_is_no_misuse_of_ours(said):
    with pytest.raises(Unavailable), mapped():
        raise asyncpg.InterfaceError(said)


async def test_a_driver_that_heard_the_servers_last_word_is_unavailable_until_it_is_closed(
    database,
):
    ours = await connect_pool(database.owner_url(), service="test", max_size=1)
    # FATAL, as from a server that is killed, and nothing behind it.
    fatal = b"SFATAL\0VFATAL\0C57P01\0Mterminating\0\0"

    async def two_statements():
        async with ours.transaction() as tx:
            await tx.fetchval("select 1")
            protocol = tx._connection._con._protocol
            protocol.data_received(b"E" + (len(fatal) + 4).to_bytes(4, "big") + fatal)
            await tx.fetchval("select 2")

    with pytest.raises(Unavailable):
        await two_statements()
    assert await ours.fetchval("select 3") == 3
    await ours.close()


async def asleep(owner) -> list[int]:
    """Return the server's processes that still sleep as they were told."""
    asked = "select pid from pg_stat_activity where state = 'active' and query like '% pg_sleep%'"
    return [row["pid"] for row in await owner.fetch(asked + " and pid <> pg_backend_pid()")]


@pytest.mark.parametrize("how", ["too late", "told to end"])
async def test_a_commit_that_is_waited_for_no_longer_is_not_cancelled(database, owner, how):
    ours = await connect_pool(database.owner_url(), service="test", max_size=1)
    within_s = 0.3 if how == "too late" else 60
    work = asyncio.create_task(ours.commit("select 1 from pg_sleep(60)", within_s=within_s))
    await asyncio.sleep(0.6)
    if how == "told to end":
        work.cancel()
    with pytest.raises(Unavailable if how == "too late" else asyncio.CancelledError):
        await work
    [pid] = await asleep(owner)
    assert (await ours.commit("select 2 as two", within_s=5))["two"] == 2
    assert await asleep(owner) == [pid]
    await owner.execute("select pg_terminate_backend($1)", pid)
    await ours.close()


@pytest.mark.parametrize("service", ["gateway", "vault", "query", "journal", "projector"])
async def test_the_server_itself_ends_what_a_role_leaves_behind(database, service):
    pool = await connect_pool(database.url(service), service=service, max_size=1)
    wanted = BY_SERVICE[service].as_settings()
    for name, milliseconds in wanted.items():
        row = await pool.fetchrow("select setting from pg_settings where name = $1", name)
        assert (name, row["setting"]) == (name, milliseconds)
        assert int(milliseconds) > 0
    await pool.close()


@pytest.fixture
async def limited(database, monkeypatch):
    made = []

    async def connect(**limits):
        monkeypatch.setitem(BY_SERVICE, "gateway", Limits(**limits))
        made.append(await connect_pool(database.owner_url(), service="gateway", max_size=2))
        return made[-1]

    yield connect
    for pool in made:
        await pool.close()


async def test_a_statement_is_ended_by_the_server_though_the_client_would_wait(limited):
    pool = await limited(statement_s=0.1)
    with pytest.raises(Unavailable) as caught:
        await pool.execute("select pg_sleep(20)")
    assert caught.value.numbers["sqlstate"] == "57014"


async def test_nobody_waits_long_for_a_lock(limited, owner):
    pool = await limited(lock_s=0.1)
    async with owner.transaction() as tx:
        await tx.execute("lock table public.things in access exclusive mode")
        with pytest.raises(Unavailable) as caught:
            await pool.fetch("select * from public.things")
    assert caught.value.numbers["sqlstate"] == "55P03"
    assert await pool.fetch("select * from public.things where false") == []


async def test_a_transaction_that_dawdles_gives_its_locks_back(limited, owner):
    pool = await limited(idle_in_transaction_s=0.1)

    async def dawdles():
        async with pool.transaction() as tx:
            await tx.execute("lock table public.things in access exclusive mode")
            assert await owner.fetch("select * from public.things where false") == []
            await tx.execute("select 1")

    with pytest.raises(Unavailable):
        async with asyncio.timeout(20):
            await dawdles()
    assert await pool.fetchval("select 1") == 1


async def test_a_server_that_never_answers_is_unavailable_after_our_patience():
    with pytest.raises(Unavailable):
        await connect_pool("postgresql://x@127.0.0.1:9/x", service="test", patience_s=0.3)


async def test_a_wrong_password_is_not_waited_for(database):
    url = database.owner_url().replace("@", "x@")
    with pytest.raises(Bug):
        await connect_pool(url, service="test", patience_s=20)


async def test_migrators_at_once_apply_each_file_once(engines, tmp_path):
    made = new_database(engines)
    (tmp_path / "0001_a.sql").write_text("create table public.a (x int); select pg_sleep(0.3);")
    empty = await connect_pool(made.owner_url(), service="test")
    await empty.execute("drop schema qm cascade")
    done = await asyncio.gather(*(migrate(made.owner_url(), tmp_path) for _ in range(3)))
    assert sorted(done) == [[], [], ["0001_a.sql"]]
    (tmp_path / "0002_b.sql").write_text("create table public.b (x int); select 1 / 0;")
    with pytest.raises(Refused):
        await migrate(made.owner_url(), tmp_path)
    assert await empty.fetchval("select to_regclass('public.b')") is None
    (tmp_path / "0001_a.sql").write_text("create table public.a (x bigint)")
    with pytest.raises(Refused, match="then changed"):
        await migrate(made.owner_url(), tmp_path)
    await empty.close()
    made.drop()


def test_the_command_says_what_it_needs():
    command = [sys.executable, "-m", "services.chassis.migrations"]
    done = subprocess.run(command, env={}, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "QM_OWNER_DATABASE_URL" in done.stderr
