"""Where an engine comes from: a URL in the environment, or the binaries of this machine.

The order is binding: what a person names comes first. Containers come as URLs: in a compose
deployment the services are told where the engines are. An engine started through testcontainers
would be one more line of ORIGINS, before LOCAL, with a class beside Postgres and RabbitMQ.
"""

from collections.abc import Callable, Mapping

from deploy.local.errors import EngineError

Environment = Mapping[str, str]
GIVEN = "given"
LOCAL = "local"

AMQP_URL = "QM_AMQP_URL"
MANAGEMENT_URL = "QM_MANAGEMENT_URL"
DATABASE_URL = "QM_DATABASE_URL"
TRUST = "QM_TRUST_SINGLE_USER"


def broker_is_given(environment: Environment) -> bool:
    """Tell whether a broker was named; both of its URLs are needed."""
    given = [name for name in (AMQP_URL, MANAGEMENT_URL) if environment.get(name)]
    if len(given) == 1:
        raise EngineError(f"{given[0]} is set alone: set {AMQP_URL} and {MANAGEMENT_URL}, or none")
    return bool(given)


def database_is_given(environment: Environment) -> bool:
    """Tell whether a database was named."""
    return bool(environment.get(DATABASE_URL))


def always(_: Environment) -> bool:
    """Say yes: local binaries are found or installed."""
    return True


ORIGINS: dict[str, dict[str, Callable[[Environment], bool]]] = {
    "broker": {GIVEN: broker_is_given, LOCAL: always},
    "database": {GIVEN: database_is_given, LOCAL: always},
}


def origin_of(kind: str, environment: Environment) -> str:
    """Return the first origin of a broker or a database that the environment allows."""
    return next(name for name, allows in ORIGINS[kind].items() if allows(environment))


def demand_trust(environment: Environment) -> None:
    """Raise EngineError unless one user for all services was explicitly allowed."""
    if environment.get(TRUST) != "1":
        reason = "a foreign engine has one user for all services, which least rights forbid"
        raise EngineError(f"{reason}: set {TRUST}=1 to accept it, or unset the engine's URLs")
