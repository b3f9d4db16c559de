"""The directory in which PostgreSQL keeps its data: where it is, how it is made and configured."""

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

from deploy.local import access, processes
from deploy.local.access import Credentials
from deploy.local.errors import EngineError, say
from deploy.local.places import (
    User,
    can_reach,
    closed_to,
    make_directory,
    private_place,
    replace_file,
)
from deploy.local.ports import LOOPBACK

SOCKET_PATH_LIMIT = 107  # bytes of sun_path, less the final zero
SOCKET_NAME = "/.s.PGSQL.00000"
ENVIRONMENT = {"PATH": "/usr/bin:/bin", "LANG": "C.UTF-8", "TZ": "UTC"}

SETTINGS = {
    "listen_addresses": f"'{LOOPBACK}'",
    "max_connections": "92",
    "reserved_connections": f"{access.RESERVED_CONNECTIONS}",
    "shared_buffers": "256MB",
    "fsync": "on",
    "synchronous_commit": "on",
    "max_wal_size": "2GB",
    "min_wal_size": "128MB",
    "wal_compression": "on",
    "checkpoint_completion_target": "0.9",
    "jit": "off",
    "huge_pages": "off",
    "timezone": "'UTC'",
    "log_timezone": "'UTC'",
    "log_line_prefix": "'%m [%p] %q%u@%d '",
    "log_min_messages": "warning",
    "log_statement": "none",
    "password_encryption": "'scram-sha-256'",
}
INITDB = (
    *("--username", access.SUPERUSER, "--auth=scram-sha-256", "--data-checksums"),
    *("--encoding=UTF8", "--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"),
)


@dataclass(frozen=True)
class Cluster:
    """The data of one state directory, in there unless the user of the server cannot get in."""

    state: Path

    @property
    def home(self) -> Path:
        """The directory of data and socket."""
        noted = self._note
        return Path(noted.read_text()) if noted.exists() else self.state / "postgres"

    @property
    def data(self) -> Path:
        """The data directory."""
        return self.home / "data"

    @property
    def socket_directory(self) -> Path:
        """The directory of the unix socket, short enough for the kernel's limit."""
        inside = self.home / "socket"
        if len(os.fsencode(inside)) + len(SOCKET_NAME) <= SOCKET_PATH_LIMIT:
            return inside
        return private_place(self.state) / "socket"

    @property
    def is_ready(self) -> bool:
        """Tell whether the server that serves the data says that it is ready."""
        try:
            return "ready" in self._lock.read_text()
        except FileNotFoundError:
            return False

    def settle(self, user: User | None) -> None:
        """Choose the home, once, and make it; raises EngineError when the user reaches none."""
        if self._note.exists() and not self.home.exists():
            say(f"{self.home} is gone, and the database with it: starting with an empty one")
        if not self._note.exists() and not can_reach(user, self.state):
            self._settle_elsewhere(user)
        make_directory(self.home)
        make_directory(self.socket_directory, 0o755, user)

    def create(self, user: User | None, binaries: Path, credentials: Credentials) -> None:
        """Make the data directory, whole or not at all; one that exists is left as it is."""
        if (self.data / "PG_VERSION").exists():
            return
        unfinished = make_directory(self.home / "data.new", 0o700, user)
        secret = self.home / "password"
        replace_file(secret, credentials.database[access.SUPERUSER])
        if user:
            os.chown(secret, user.uid, user.gid)
        command = [str(binaries / "initdb"), "-D", str(unfinished), f"--pwfile={secret}", *INITDB]
        try:
            self._initdb(command, user)
        finally:
            secret.unlink()
        unfinished.rename(self.data)

    def configure(self, port: int) -> None:
        """Write the settings; what the data was made with (encoding, checksums) stays."""
        settings = SETTINGS | {
            "port": str(port),
            "unix_socket_directories": f"'{self.socket_directory}'",
        }
        lines = [f"{name} = {value}" for name, value in settings.items()]
        (self.data / "postgresql.conf").write_text("\n".join([*lines, ""]))

    def forget_the_dead(self) -> None:
        """Remove what a crashed server left: busy sessions, and a lock on an id now recycled."""
        if not self._lock.exists():
            return
        pid = int(self._lock.read_text().split("\n", 1)[0])
        if processes.occurs(pid, str(self.data)):
            raise EngineError(f"process {pid} already serves {self.data}: stop it first")
        processes.kill_orphans_in(self.data)
        self._lock.unlink()

    @property
    def _lock(self) -> Path:
        return self.data / "postmaster.pid"

    @property
    def _note(self) -> Path:
        return self.state / "postgres.home"

    def _settle_elsewhere(self, user: User | None) -> None:
        place = private_place(self.state)
        if not can_reach(user, place):
            name = user.name if user else "this user"
            closed = f"{closed_to(user, self.state)} and {closed_to(user, place)}"
            reason = f"PostgreSQL runs as {name}, who cannot pass {closed}"
            raise EngineError(f"{reason}: set QM_STATE to a directory that {name} can reach")
        replace_file(self._note, str(place / "postgres"), 0o644)

    def _initdb(self, command: list[str], user: User | None) -> None:
        done = subprocess.run(
            command,
            env=ENVIRONMENT,
            cwd="/",
            capture_output=True,
            text=True,
            check=False,
            **(user.as_arguments() if user else {}),
        )
        if done.returncode != 0:
            raise EngineError(f"initdb failed: {done.stderr.strip()}; remove {self.home}, retry")
