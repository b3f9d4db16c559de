"""Passwords and what is made of them, for the containers of one machine; made once and kept."""

import json
import secrets
from collections.abc import Mapping
from pathlib import Path

from deploy.local import access, sql
from deploy.local.access import Credentials
from deploy.local.places import replace_file

TOKENS = {
    "QM_API_TOKEN": "api.token",
    "QM_AGENT_TOKEN": "agent.token",
    "QM_CONSOLE_KEY": "console.key",
    "QM_GRAFANA_PASSWORD": "grafana.password",
}
READABLE = 0o644


def prepare(state: Path) -> dict[str, str]:
    """Write what the containers mount, and return what the compose file asks of its environment."""
    state.mkdir(parents=True, exist_ok=True)
    state.chmod(0o700)  # what lies in it must be readable by the engines' users, and by no others
    credentials = access.credentials_of(state)
    _mounted(state / "definitions.json", access.definitions(credentials))
    _mounted(state / "roles.sql", sql.roles_sql(credentials))
    tokens = {name: _kept(state / file) for name, file in TOKENS.items()}
    return {**variables(credentials), **tokens, "QM_COMPOSE_STATE": str(state)}


def variables(credentials: Credentials) -> dict[str, str]:
    """Return each password under the name that the compose file gives it."""
    broker = {_name("BROKER", user): each for user, each in credentials.broker.items()}
    database = {
        _name("DATABASE", role.removeprefix("qm_")): each
        for role, each in credentials.database.items()
        if role != access.SUPERUSER
    }
    return {**broker, **database, "QM_POSTGRES_PASSWORD": credentials.database[access.SUPERUSER]}


def env_file(values: Mapping[str, str]) -> str:
    """Return values in the form of an env file; none of ours needs quoting but by JSON's rules."""
    return "".join(f"{name}={json.dumps(value)}\n" for name, value in sorted(values.items()))


def _name(kind: str, user: str) -> str:
    return f"QM_{kind}_PASSWORD_{user.upper()}"


def _mounted(path: Path, text: str) -> None:
    replace_file(path, text)
    path.chmod(READABLE)


def _kept(path: Path) -> str:
    if not path.exists():
        replace_file(path, secrets.token_urlsafe(32))
    return path.read_text()
