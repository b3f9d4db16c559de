"""PostgreSQL and RabbitMQ of one state directory: start, stop, status, and who connects how."""

import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from deploy.local import access, choice
from deploy.local.access import Credentials
from deploy.local.errors import EngineError
from deploy.local.places import make_directory, make_state
from deploy.local.ports import LOOPBACK
from deploy.local.postgres import Postgres
from deploy.local.rabbitmq import RabbitMQ
from deploy.rabbitmq import permissions

__all__ = ["EngineError", "Engines", "attach", "postgres", "rabbitmq", "start", "status", "stop"]


@dataclass(frozen=True)
class Engines:
    """Where the engines of a state are, and the credentials of everybody who uses them."""

    state: Path
    amqp_host: str
    amqp_port: int
    management_url: str
    postgres_host: str
    postgres_port: int
    postgres_socket: Path | None
    admin_user: str
    admin_password: str = field(repr=False)
    superuser_dsn: str = field(repr=False)
    credentials: Credentials = field(repr=False)
    given: Mapping[str, str] = field(repr=False)

    @property
    def management_port(self) -> int:
        """The port of the management API."""
        return urlsplit(self.management_url).port or 15672

    def urls(self, service: str) -> dict[str, str]:
        """Return the environment that lets one service connect, with its own user and role.

        Raises EngineError for a service without a broker user, and for engines of others that
        have one user for all unless QM_TRUST_SINGLE_USER=1.
        """
        urls = {choice.AMQP_URL: self.amqp_url(service)}
        if service in access.ROLES:
            urls[choice.DATABASE_URL] = self._database_url(access.ROLES[service])
        return urls

    def amqp_url(self, user: str, vhost: str = permissions.VHOST) -> str:
        """Return the URL of any broker user; the demo's model queues are in another vhost."""
        if choice.AMQP_URL in self.given:
            choice.demand_trust(self.given)
            return self.given[choice.AMQP_URL]
        address = f"{self.amqp_host}:{self.amqp_port}"
        return access.amqp_url(self.credentials, user, address, vhost)

    def owner_url(self) -> str:
        """Return the URL of the role that owns the database and runs the migrations."""
        return self._database_url(access.OWNER)

    def _database_url(self, role: str) -> str:
        if choice.DATABASE_URL in self.given:
            choice.demand_trust(self.given)
            return self.given[choice.DATABASE_URL]
        address = f"{self.postgres_host}:{self.postgres_port}"
        return access.database_url(self.credentials, role, address)


def start(state: Path, environment: Mapping[str, str] = os.environ) -> Engines:
    """Start what does not run yet, on the data of earlier starts, and wait until it is ready.

    Raises EngineError when one cannot start; then none is left running.
    """
    state = make_state(state)
    for directory in ("run", "logs"):
        make_directory(state / directory)
    with access.only_one(state):
        wanted = _engines(state, environment)
        try:
            _together([engine.start for engine in wanted])
        except BaseException:
            _together([_stopping(engine, immediately=True) for engine in wanted])
            raise
    return attach(state, environment)


def stop(state: Path, *, immediately: bool = False) -> None:
    """Stop what start() started; data stays. Immediately loses nothing either, as a crash."""
    state = state.resolve()
    if not (state / access.FILE).exists():
        return
    with access.only_one(state):
        engines = (postgres(state), rabbitmq(state))
        _together([_stopping(engine, immediately=immediately) for engine in engines])


def status(state: Path) -> dict[str, str]:
    """Return `healthy`, `unhealthy` or `stopped` for each local engine."""
    state = state.resolve()
    if not (state / access.FILE).exists():
        return {"postgres": "stopped", "rabbitmq": "stopped"}
    return {"postgres": _health(postgres(state)), "rabbitmq": _health(rabbitmq(state))}


def attach(state: Path, environment: Mapping[str, str] = os.environ) -> Engines:
    """Return the engines of a state as they were started, without starting or asking them."""
    state = state.resolve()
    credentials = access.credentials_of(state)
    given = {name: value for name, value in environment.items() if name.startswith("QM_")}
    broker = _given_broker(given) or _local_broker(rabbitmq(state), credentials)
    database = _given_database(given) or _local_database(postgres(state), credentials)
    return Engines(state=state, credentials=credentials, given=given, **broker, **database)  # type: ignore[arg-type]


def postgres(state: Path) -> Postgres:
    """Return the local database of a state, for faults and restarts."""
    return Postgres(state.resolve(), access.credentials_of(state.resolve()))


def rabbitmq(state: Path) -> RabbitMQ:
    """Return the local broker of a state, for faults and restarts."""
    return RabbitMQ(state.resolve(), access.credentials_of(state.resolve()))


def _engines(state: Path, environment: Mapping[str, str]) -> list[Postgres | RabbitMQ]:
    wanted: list[Postgres | RabbitMQ] = []
    if choice.origin_of("database", environment) == choice.LOCAL:
        wanted.append(postgres(state))
    if choice.origin_of("broker", environment) == choice.LOCAL:
        wanted.append(rabbitmq(state))
    return wanted


def _together(actions: Sequence[Callable[[], None]]) -> None:
    """Do all at once, wait for all, and raise the first error."""
    with ThreadPoolExecutor() as pool:
        done = [pool.submit(action) for action in actions]
    for action in done:
        action.result()


def _stopping(engine: Postgres | RabbitMQ, *, immediately: bool) -> Callable[[], None]:
    return lambda: engine.stop(immediately=immediately)


def _health(engine: Postgres | RabbitMQ) -> str:
    if not engine.is_running():
        return "stopped"
    return "healthy" if engine.is_healthy() else "unhealthy"


def _local_broker(engine: RabbitMQ, credentials: Credentials) -> dict[str, object]:
    return {
        "amqp_host": LOOPBACK,
        "amqp_port": engine.ports.get("amqp", 0),
        "management_url": f"http://{LOOPBACK}:{engine.ports.get('management', 0)}",
        "admin_user": "admin",
        "admin_password": credentials.broker["admin"],
    }


def _local_database(engine: Postgres, credentials: Credentials) -> dict[str, object]:
    password = credentials.database[access.SUPERUSER]
    address = f"{LOOPBACK}:{engine.port}"
    return {
        "postgres_host": LOOPBACK,
        "postgres_port": engine.port,
        "postgres_socket": engine.cluster.socket_directory,
        "superuser_dsn": f"postgresql://{access.SUPERUSER}:{password}@{address}/postgres",
    }


def _given_broker(given: Mapping[str, str]) -> dict[str, object]:
    if not choice.broker_is_given(given):
        return {}
    url = urlsplit(given[choice.AMQP_URL])
    return {
        "amqp_host": url.hostname or LOOPBACK,
        "amqp_port": url.port or 5672,
        "management_url": given[choice.MANAGEMENT_URL],
        "admin_user": url.username or "guest",
        "admin_password": url.password or "guest",
    }


def _given_database(given: Mapping[str, str]) -> dict[str, object]:
    if not choice.database_is_given(given):
        return {}
    url = urlsplit(given[choice.DATABASE_URL])
    return {
        "postgres_host": url.hostname or LOOPBACK,
        "postgres_port": url.port or 5432,
        "postgres_socket": None,
        "superuser_dsn": given[choice.DATABASE_URL],
    }
