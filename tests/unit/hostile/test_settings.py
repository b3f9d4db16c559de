"""Whatever somebody sets, a service starts or says which setting is wrong, and never throws up."""

from __future__ import annotations

import os
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

import services
from tests.unit.hostile.mutations import EXTREMES, hostile

if TYPE_CHECKING:
    from pydantic_settings import BaseSettings

SERVICES = sorted(path.parent.name for path in Path(services.__file__).parent.glob("*/settings.py"))
SOUND = {
    "QM_NODE_ID": "node-1",
    "QM_AGENT_TOKEN": "t" * 32,
    "QM_AMQP_URL": "amqp://h/",
    "QM_DATABASE_URL": "postgresql://h/x",
    "QM_VAULT_KEY": "A" * 43 + "=",
}
WORDS = [str(each) for each in EXTREMES] + [
    "{",
    "[1,",
    "{}",
    "[{}]",
    "1,2",
    "::/999",
    "true",
    "1e9",
]
VALUES = (st.sampled_from(WORDS) | st.text(max_size=20)).map(lambda text: text.replace("\0", ""))


def names(of: type[BaseSettings]) -> list[str]:
    """Return the variables its fields are read from."""
    found: list[str] = []
    for name, each in of.model_fields.items():
        alias: Any = each.validation_alias
        choices = getattr(alias, "choices", [alias] if alias else [])
        found += [str(each) for each in choices] or [f"{of.model_config['env_prefix']}{name}"]
    return [name.upper() for name in found]


@pytest.mark.parametrize("service", SERVICES)
def test_whatever_is_set_is_taken_or_named_as_wrong(service: str):
    settings: type[BaseSettings] = import_module(f"services.{service}.settings").Settings
    with patch.dict(os.environ, SOUND):
        settings(_env_file=None)  # type: ignore[call-arg]
    variables = st.dictionaries(st.sampled_from(names(settings)), VALUES, max_size=4)

    @hostile
    @given(variables)
    def whatever_is_set(given_: dict[str, str]) -> None:
        with patch.dict(os.environ, SOUND | given_), suppress(ValidationError):
            settings(_env_file=None)  # type: ignore[call-arg]

    whatever_is_set()
