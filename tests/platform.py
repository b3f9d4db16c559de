"""Real engines for tests: one PostgreSQL and one RabbitMQ, many databases and virtual hosts."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, TextIO
from uuid import uuid4

import httpx2

from deploy.local import access, engines
from deploy.local.engines import Engines
from deploy.rabbitmq import permissions
from services.chassis import bus

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

TEMPLATE = "qm_template"
# As files: each page through the write-ahead log would be compressed, at 0.4 s of a processor.
CREATE = f"create database {{name}} template {TEMPLATE} owner {access.OWNER} strategy file_copy"


_held: list[TextIO] = []


def test_engines(state: Path) -> Engines:
    """Start the engines, or join those another worker has started; make the template database."""
    state.mkdir(parents=True, exist_ok=True)
    users = (state / "users.lock").open("w")
    fcntl.flock(users, fcntl.LOCK_SH)
    _held.append(users)
    started = engines.start(state)
    with _locked(state / "template.lock"):
        if not (state / "template.done").exists():
            _hurry(started)
            _make_template(started)
            (state / "template.done").touch()
    return started


test_engines.__test__ = False  # type: ignore[attr-defined]


def stop_engines(state: Path) -> None:
    """Stop what test_engines started, unless another run of tests still uses it."""
    for users in _held:
        users.close()
    if not (state / "users.lock").exists():
        return
    with (state / "users.lock").open("w") as users:
        try:
            fcntl.flock(users, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return
        (state / "template.done").unlink(missing_ok=True)
        engines.stop(state, immediately=True)


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _sql(running: Engines, sql: str, name: str = "postgres") -> str:
    return engines.postgres(running.state).query(sql, name)


def _hurry(running: Engines) -> None:
    """Leave out what only a power cut could punish: most of the time that databases take to make."""
    _sql(running, "alter system set fsync = off")
    _sql(running, "select pg_reload_conf()")


def _make_template(running: Engines) -> None:
    _sql(running, f"drop database if exists {TEMPLATE}")
    _sql(running, f"create database {TEMPLATE} owner {access.OWNER}")
    url = running.owner_url().rsplit("/", 1)[0] + f"/{TEMPLATE}"
    subprocess.run(
        [sys.executable, "-m", "services.chassis.migrations"],
        env={**os.environ, "QM_OWNER_DATABASE_URL": url},
        check=True,
        stdout=subprocess.DEVNULL,
    )


@dataclass(frozen=True)
class LogDatabase:
    """One database, and how each role connects to it."""

    engines: Engines
    name: str

    def url(self, service: str) -> str:
        """Return the URL of a service's role."""
        return self._named(self.engines.urls(service)["QM_DATABASE_URL"])

    def owner_url(self) -> str:
        """Return the URL of the owner."""
        return self._named(self.engines.owner_url())

    def superuser_sql(self, sql: str) -> str:
        """Run SQL as nobody of ours ever does."""
        return _sql(self.engines, sql, self.name)

    def drop(self) -> None:
        """Remove the database."""
        _sql(self.engines, f"drop database {self.name} with (force)")

    def _named(self, url: str) -> str:
        return f"{url.rsplit('/', 1)[0]}/{self.name}"


def new_database(running: Engines) -> LogDatabase:
    """Return a fresh migrated database."""
    name = f"qm_{uuid4().hex[:12]}"
    with _locked(running.state / "template.lock"):
        _sql(running, CREATE.format(name=name))
    return LogDatabase(running, name)


@dataclass(frozen=True)
class Broker:
    """One virtual host, and how each service connects to it."""

    engines: Engines
    vhost: str

    def url(self, user: str) -> str:
        """Return the URL of a broker user."""
        return self.engines.amqp_url(user, self.vhost)

    async def declare(self) -> None:
        """Declare the topology, as the journal does."""
        await bus.declare(self.url("journal"))

    def api(self, method: str, path: str, body: object = None) -> httpx2.Response:
        """Ask the Management API as its administrator."""
        running = self.engines
        return httpx2.request(
            method,
            f"{running.management_url}/api/{path}",
            json=body,
            auth=(running.admin_user, running.admin_password),
            timeout=10.0,
        )

    def drop(self) -> None:
        """Remove the virtual host."""
        self.api("DELETE", f"vhosts/{self.vhost}").raise_for_status()


def new_broker(running: Engines) -> Broker:
    """Return a fresh virtual host with every service's rights."""
    made = Broker(running, f"qm-{uuid4().hex[:12]}")
    made.api("PUT", f"vhosts/{made.vhost}", {}).raise_for_status()
    everything = {"configure": ".*", "write": ".*", "read": ".*"}
    rights = {user: permissions.of_service(user) for user in permissions.service_names()}
    for user, right in {**rights, "admin": everything, "models": everything}.items():
        made.api("PUT", f"permissions/{made.vhost}/{user}", right).raise_for_status()
    return made
