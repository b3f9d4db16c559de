"""One broker user and one database role per service: passwords, definitions and URLs."""

import base64
import fcntl
import hashlib
import json
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from deploy.local.errors import EngineError
from deploy.local.places import replace_file
from deploy.rabbitmq import permissions

FILE = "credentials.json"
SUPERUSER = "postgres"
OWNER = "qm_owner"
DATABASE = "quartermaster"
ROLES = {name: f"qm_{name}" for name in ("journal", "projector", "query", "gateway", "vault")}
HEARTBEAT_S = 5
# All that one journal opens: whatever others take, what happens is recorded.
RESERVED_CONNECTIONS = 12


@dataclass(frozen=True)
class Credentials:
    """Passwords by broker user and by database role."""

    broker: dict[str, str]
    database: dict[str, str]

    def __repr__(self) -> str:
        """Name the users, never a password."""
        return f"Credentials(broker={sorted(self.broker)}, database={sorted(self.database)})"


def credentials_of(state: Path) -> Credentials:
    """Return the passwords of this state; those missing are made up and kept, mode 0600."""
    file = state / FILE
    known = _read(file)
    users = [*permissions.service_names(), *permissions.PEOPLE]
    roles = [SUPERUSER, OWNER, *ROLES.values()]
    complete = Credentials(
        {user: known.broker.get(user) or secrets.token_urlsafe(24) for user in users},
        {role: known.database.get(role) or secrets.token_urlsafe(24) for role in roles},
    )
    if complete != known:
        replace_file(file, json.dumps(asdict(complete), indent=1))
    return complete


def definitions(credentials: Credentials) -> str:
    """Return the definitions that the broker loads at boot: users, vhosts, permissions.

    The same passwords give the same text, so that a change is seen by comparing.
    """
    content: dict[str, Any] = {
        "vhosts": [{"name": permissions.VHOST}, {"name": permissions.MODELS_VHOST}],
        "users": [
            {
                "name": user,
                "password_hash": password_hash(user, password),
                "hashing_algorithm": "rabbit_password_hashing_sha256",
                "tags": permissions.PEOPLE.get(user, ""),
            }
            for user, password in credentials.broker.items()
        ],
        "permissions": permissions.all_permissions(),
    }
    return json.dumps(content, indent=1)


def password_hash(user: str, password: str) -> str:
    """Return base64(salt + sha256(salt + password)), the salt made of the user's name.

    A salt that can be guessed is enough for passwords of 192 random bits.
    Source: https://www.rabbitmq.com/docs/passwords, "Computing password hash".
    """
    salt = hashlib.sha256(user.encode()).digest()[:4]
    return base64.b64encode(salt + hashlib.sha256(salt + password.encode()).digest()).decode()


def amqp_url(credentials: Credentials, user: str, address: str, vhost: str) -> str:
    """Return the URL with which a broker user connects; address is host:port."""
    password = _password(credentials.broker, user, "broker user")
    return f"amqp://{user}:{password}@{address}/{vhost}?heartbeat={HEARTBEAT_S}"


def database_url(credentials: Credentials, role: str, address: str) -> str:
    """Return the URL with which a database role connects; address is host:port."""
    password = _password(credentials.database, role, "database role")
    return f"postgresql://{role}:{password}@{address}/{DATABASE}"


@contextmanager
def only_one(state: Path) -> Iterator[None]:
    """Let one process at a time start or stop the engines of a state."""
    with (state / "engines.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _read(file: Path) -> Credentials:
    try:
        content = json.loads(file.read_text())
        return Credentials(dict(content["broker"]), dict(content["database"]))
    except FileNotFoundError:
        return Credentials({}, {})
    except (ValueError, KeyError, TypeError) as error:
        reason = f"{file} does not read as credentials ({error})"
        raise EngineError(f"{reason}: restore it, or remove all of {file.parent}") from error


def _password(known: dict[str, str], name: str, kind: str) -> str:
    if name not in known:
        raise EngineError(f"there is no {kind} {name}: known are {', '.join(sorted(known))}")
    return known[name]
