"""A synchronous standby of a fleet's database: made, frozen, promoted, put in the primary's place."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import subprocess
from contextlib import asynccontextmanager, contextmanager
from typing import TYPE_CHECKING

from deploy.local import access, ports, processes
from deploy.local.binaries import binaries_for
from deploy.local.cluster import ENVIRONMENT
from deploy.local.places import make_directory, user_for
from tests.e2e.fleet import eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

    from deploy.local.postgres import Postgres

NAME = "standby"
WITHIN_S = 30.0
ATTACHED = f"select sync_state from pg_stat_replication where application_name = '{NAME}'"


class Standby:
    """The copy of a primary that runs; it has every commit that anybody was told of."""

    def __init__(self, primary: Postgres) -> None:
        self.primary = primary
        self.home = primary.cluster.home / NAME
        self.record = primary.record.with_name(f"{NAME}.json")
        self._user = user_for(primary.cluster.data)
        self._binaries = binaries_for(self._user, primary.cluster.home)

    async def begin(self) -> None:
        """Copy the primary, follow it, and have it wait for us with every commit."""
        make_directory(self.home, 0o700, self._user)
        where = f"host={ports.LOOPBACK} port={self.primary.port} application_name={NAME}"
        await asyncio.to_thread(
            self._run, "pg_basebackup", "-D", str(self.home), "-R", "-c", "fast", "-d", where
        )
        self.serve(self.home, self.record)
        await eventually(lambda: self.primary.query(ATTACHED) == "async", WITHIN_S)
        self.primary.query(f"alter system set synchronous_standby_names = '{NAME}'")
        self.primary.query("select pg_reload_conf()")
        await eventually(lambda: self.primary.query(ATTACHED) == "sync", WITHIN_S)

    @contextmanager
    def deaf(self) -> Iterator[None]:
        """Let it receive nothing for the length of a block; what is on the way then is lost."""
        leader = processes.find(processes.recall(self.record))
        assert leader is not None, "the standby does not run"
        below = leader.children(recursive=True)
        [receiver] = [each for each in below if "walreceiver" in " ".join(each.cmdline())]
        for process in (leader, *below):
            process.suspend()
        try:
            yield
        finally:
            receiver.kill()
            for process in {leader, *below} - {receiver}:
                process.resume()

    def take_over(self, aside: Path) -> None:
        """Promote it and put its data where the dead primary's were, which go aside."""
        self._run("pg_ctl", "promote", "-D", str(self.home), "--wait")
        self.end()
        self.primary.cluster.data.rename(aside)
        self.home.rename(self.primary.cluster.data)

    def end(self) -> None:
        """Stop it."""
        processes.stop(self.record, with_signal=signal.SIGINT, grace_s=WITHIN_S)

    @asynccontextmanager
    async def returned(self, aside: Path) -> AsyncIterator[int]:
        """Run the primary that was, on another port, for the length of a block; then it is gone."""
        record = self.record.with_name("returned.json")
        port = self.serve(aside, record)
        try:
            yield port
        finally:
            processes.stop(record, with_signal=signal.SIGQUIT, grace_s=WITHIN_S)
            shutil.rmtree(aside)

    def serve(self, data: Path, record: Path) -> int:
        """Start a server on some data; return the port that it was given."""
        chosen = ports.keep_or_choose(record.with_suffix(".ports.json"), [NAME])[NAME]
        processes.spawn(
            [str(self._binaries / "postgres"), "-D", str(data), "-c", f"port={chosen}"],
            word=str(data),
            record=record,
            log=self.primary.log.with_name(f"{record.stem}.log"),
            env=ENVIRONMENT,
            user=self._user,
        )
        return chosen

    def _run(self, program: str, *arguments: str) -> None:
        password = self.primary.credentials.database[access.SUPERUSER]
        who = {"PGUSER": access.SUPERUSER, "PGPASSWORD": password}
        done = subprocess.run(
            [str(self._binaries / program), *arguments],
            env=ENVIRONMENT | who | {"HOME": os.devnull},
            cwd="/",
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
            **(self._user.as_arguments() if self._user else {}),
        )
        assert done.returncode == 0, f"{program}: {done.stdout}{done.stderr}"
