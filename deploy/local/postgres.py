"""A private PostgreSQL from the binaries of a wheel, as an ordinary user, on a free port."""

import signal
import subprocess
import time
from pathlib import Path

from deploy.local import access, ports, processes
from deploy.local.access import Credentials
from deploy.local.binaries import binaries_for
from deploy.local.cluster import ENVIRONMENT, Cluster
from deploy.local.errors import EngineError
from deploy.local.places import User, user_for
from deploy.local.sql import roles_sql
from deploy.local.waiting import holds_within

READY_WITHIN_S = 30.0
STOP_WITHIN_S = 15.0
REUSE_WITHIN_S = 5.0


class Postgres:
    """The database server of one state directory."""

    def __init__(self, state: Path, credentials: Credentials) -> None:
        self.cluster = Cluster(state)
        self.credentials = credentials
        self.record = state / "run" / "postgres.json"
        self.log = state / "logs" / "postgres.log"
        self._ports = state / "run" / "postgres.ports.json"

    @property
    def port(self) -> int:
        """The TCP port on the loopback interface, kept over restarts; 0 before the first start."""
        return ports.recall(self._ports).get("postgres", 0)

    def start(self) -> None:
        """Start the server on its data until every role can log in; a healthy one is reused."""
        if not (self.is_running() and holds_within(REUSE_WITHIN_S, self._answers)):
            self.stop(immediately=True)
            user = user_for(self.cluster.data)
            self.cluster.settle(user)
            binaries = binaries_for(user, self.cluster.home)
            self.cluster.create(user, binaries, self.credentials)
            self.cluster.forget_the_dead()
            self._launch(user, binaries)
        self.query(roles_sql(self.credentials))

    def stop(self, *, immediately: bool = False) -> None:
        """Stop the server: sessions are ended, and unless immediately, all is written first."""
        how = signal.SIGQUIT if immediately else signal.SIGINT
        processes.stop(self.record, with_signal=how, grace_s=STOP_WITHIN_S)

    def restart(self, *, immediate: bool = True) -> None:
        """Stop and start on the same data and port; immediate is a crash that recovers from WAL."""
        self.stop(immediately=immediate)
        self.start()

    def kill(self) -> None:
        """Kill the server as a crash would; start() brings it back."""
        processes.kill(self.record)

    def is_running(self) -> bool:
        """Tell whether the process that was started last still lives."""
        return processes.find(processes.recall(self.record)) is not None

    def is_healthy(self) -> bool:
        """Tell whether the server answers a query of the superuser."""
        return self.is_running() and self._answers()

    def query(self, sql: str, database: str = "postgres", timeout_s: float = 60.0) -> str:
        """Run statements as superuser and return what they print, fields separated by `|`."""
        done = subprocess.run(
            [str(self._psql()), "-XqAt", "-v", "ON_ERROR_STOP=1", "-f", "-"],
            input=sql,
            env=ENVIRONMENT | self._connection(database),
            cwd="/",
            capture_output=True,
            text=True,
            check=False,
            timeout=timeout_s,
        )
        if done.returncode != 0:
            raise EngineError(f"PostgreSQL refused: {done.stderr.strip()}; its log is {self.log}")
        return done.stdout.strip()

    def _connection(self, database: str) -> dict[str, str]:
        return {
            "PGHOST": str(self.cluster.socket_directory),
            "PGPORT": str(self.port),
            "PGUSER": access.SUPERUSER,
            "PGPASSWORD": self.credentials.database[access.SUPERUSER],
            "PGDATABASE": database,
            "PGCONNECT_TIMEOUT": "3",
        }

    def _psql(self) -> Path:
        return binaries_for(None, self.cluster.home) / "psql"

    def _answers(self) -> bool:
        try:
            return self.query("SELECT 1", timeout_s=5.0) == "1"
        except (EngineError, subprocess.TimeoutExpired):
            return False

    def _launch(self, user: User | None, binaries: Path) -> None:
        chosen = ports.keep_or_choose(self._ports, ["postgres"])
        self.cluster.configure(chosen["postgres"])
        recorded = processes.spawn(
            [str(binaries / "postgres"), "-D", str(self.cluster.data)],
            word=str(self.cluster.data),
            record=self.record,
            log=self.log,
            env=ENVIRONMENT,
            user=user,
            outlives=True,
        )
        until = time.monotonic() + READY_WITHIN_S
        while not self.cluster.is_ready:
            if processes.exited(recorded) or time.monotonic() > until:
                self.stop(immediately=True)
                end = processes.last_words(self.log)
                raise EngineError(f"PostgreSQL did not start; the end of {self.log}:\n{end}")
            time.sleep(0.02)
