"""The compose file: every service of the platform, closed as far as it can be, rightly told."""

from __future__ import annotations

import importlib
import re
import shutil
import stat
import subprocess
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from pydantic_settings import BaseSettings

from deploy.compose import __main__ as compose
from deploy.compose import vault_key
from deploy.compose.prepare import env_file, prepare
from deploy.local.platform import SERVICES
from tests.containers import interpolated

if TYPE_CHECKING:
    from collections.abc import Mapping

ROOT = Path(__file__).parents[3]
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
PARTS: dict[str, dict[str, Any]] = COMPOSE["services"]
OURS = {name: part for name, part in PARTS.items() if "build" in part}
AGENTS = ("agent-1", "agent-2")
OF_ALL = {"LOG_LEVEL", "QM_HEALTH_PORT"}


@pytest.fixture(scope="module")
def given(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    return prepare(tmp_path_factory.mktemp("compose"))


def test_every_service_of_the_platform_is_there_and_says_how_it_is() -> None:
    for name in (*SERVICES, *AGENTS):
        part = OURS[name]
        assert part["command"] == [name.partition("-")[0]]
        assert part["healthcheck"]["test"] == ["CMD", "python", "-m", "services.chassis.probe"]
    for engine in ("postgres", "rabbitmq"):
        assert "test" in PARTS[engine]["healthcheck"]


@pytest.mark.parametrize("name", OURS)
def test_nothing_of_ours_is_root_or_may_become_it_or_write_but_to_its_volumes(name: str) -> None:
    part = OURS[name]
    user, _, _ = str(part["user"]).partition(":")
    assert int(user) > 0
    assert part["read_only"] is True
    assert part["cap_drop"] == ["ALL"]
    assert "no-new-privileges:true" in part["security_opt"]
    assert "privileged" not in part
    assert not any("docker.sock" in volume for volume in part.get("volumes", []))


def test_the_demo_and_what_is_seen_of_it_start_only_when_asked_for() -> None:
    profiles = {name: part.get("profiles", []) for name, part in PARTS.items()}
    assert {n for n, p in profiles.items() if p == ["demo"]} == {"agent-1", "agent-2", "demo"}
    assert {n for n, p in profiles.items() if p == ["observability"]} == {
        "collector",
        "prometheus",
        "tempo",
        "loki",
        "grafana",
    }
    assert all(not profiles[name] for name in SERVICES)


def test_who_waits_for_another_waits_until_that_one_is_well() -> None:
    for name, part in PARTS.items():
        for other, how in part.get("depends_on", {}).items():
            condition = how["condition"]
            assert condition in {"service_healthy", "service_completed_successfully"}, name
            if condition == "service_healthy":
                assert "test" in PARTS[other]["healthcheck"], f"{name} waits for {other}"


def test_no_secret_stands_in_the_file_and_each_service_gets_its_own_alone() -> None:
    asked: dict[str, set[str]] = {}
    for name in SERVICES:
        for value in OURS[name]["environment"].values():
            for password in re.findall(r"\$\{(QM_\w+_PASSWORD_\w+):\?", str(value)):
                asked.setdefault(password, set()).add(name)
    assert all(len(services) == 1 for services in asked.values())
    assert not re.search(r"://\w+:[^$@{\s]+@", (ROOT / "docker-compose.yml").read_text())


def test_what_the_compose_file_asks_for_is_what_is_prepared(given: Mapping[str, str]) -> None:
    text = (ROOT / "docker-compose.yml").read_text()
    assert set(re.findall(r"\$\{(\w+):\?", text)) <= given.keys()
    state = Path(given["QM_COMPOSE_STATE"])
    assert stat.S_IMODE(state.stat().st_mode) == 0o700
    assert prepare(state) == given
    assert f'QM_API_TOKEN="{given["QM_API_TOKEN"]}"\n' in env_file(given)


@pytest.mark.parametrize("name", [*SERVICES, *AGENTS])
def test_every_variable_is_a_setting_of_its_service_and_all_that_it_needs_is_set(
    name: str, given: Mapping[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    environment = {
        variable: interpolated(str(value), given).replace("/var/lib/quartermaster", str(tmp_path))
        for variable, value in OURS[name]["environment"].items()
    }
    (tmp_path / "vault").mkdir()
    assert vault_key.make(tmp_path / "vault" / "key")
    service = importlib.import_module(f"services.{OURS[name]['command'][0]}.settings")
    shape: type[BaseSettings] = service.Settings
    for variable, value in environment.items():
        monkeypatch.setenv(variable, value)
        if not variable.startswith("OTEL_"):
            assert variable in _names(shape) | OF_ALL, variable
    assert shape(_env_file=None) is not None


def test_the_gateway_believes_the_console_for_whom_it_asks_and_nobody_else() -> None:
    address = OURS["console"]["networks"]["default"]["ipv4_address"]
    trusted = interpolated(OURS["gateway"]["environment"]["QM_TRUSTED_PROXIES"], {})
    assert trusted == f"{address}/32"
    [network] = COMPOSE["networks"]["default"]["ipam"]["config"]
    assert ip_address(address) in ip_network(network["subnet"])


def test_only_the_first_words_are_profiles(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[list[str]] = []
    monkeypatch.setenv("QM_STATE", str(tmp_path))
    monkeypatch.setattr(shutil, "which", lambda _: "/bin/true")
    monkeypatch.setattr(subprocess, "call", lambda command: asked.append(command) or 0)
    assert compose.main(["observability", "demo", "stop", "demo"]) == 0
    assert asked[0][-6:] == ["--profile", "observability", "--profile", "demo", "stop", "demo"]
    assert compose.main(["demo"]) == 2


def test_a_volume_keeps_what_must_outlive_a_container() -> None:
    mounted = {v.partition(":")[0] for part in PARTS.values() for v in part.get("volumes", [])}
    assert set(COMPOSE["volumes"]) <= mounted
    assert "keys:/var/lib/quartermaster/keys" in OURS["gateway"]["volumes"]
    holders = [n for n, p in PARTS.items() if any("vault:" in v for v in p.get("volumes", []))]
    assert sorted(holders) == ["vault", "vault-key"]


def test_a_vaults_key_is_made_once_and_only_for_its_owner(tmp_path: Path) -> None:
    path = tmp_path / "key"
    assert vault_key.make(path)
    before = path.read_bytes()
    assert not vault_key.make(path)
    assert path.read_bytes() == before
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_the_image_has_no_developers_tools_and_no_root() -> None:
    lines = (ROOT / "deploy" / "Dockerfile").read_text().splitlines()
    stages = [number for number, line in enumerate(lines) if line.startswith("FROM ")]
    last = lines[stages[-1] :]
    assert len(stages) == 2
    assert "USER 10001:10001" in last
    assert not any("uv" in line.split() for line in last)
    installs = [line for line in lines if "uv sync" in line]
    assert len(installs) == 2
    assert all("--no-dev" in line and "--frozen" in line for line in installs)


def test_only_what_the_image_is_made_of_goes_to_its_builder() -> None:
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    rules = [line for line in lines if line and not line.startswith("#")]
    assert rules[0] == "*"
    copied = re.findall(
        r"^COPY (?!--from)(.+) \S+$", (ROOT / "deploy/Dockerfile").read_text(), re.MULTILINE
    )
    assert {rule[1:] for rule in rules if rule.startswith("!")} == set(" ".join(copied).split())
    assert {"**/.env", "**/.quartermaster", "**/*.key"} <= set(rules)


def _names(shape: type[BaseSettings]) -> set[str]:
    found: set[str] = set()
    prefix = str(shape.model_config.get("env_prefix", ""))
    for name, field in shape.model_fields.items():
        alias = field.validation_alias
        if alias is None:
            found.add(f"{prefix}{name}".upper())
        elif isinstance(alias, str):
            found.add(alias.upper())
        else:
            found |= {str(choice).upper() for choice in getattr(alias, "choices", [])}
    return found
