"""The agent does not start with settings that leave a door open."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from services.agent.settings import Settings


@pytest.fixture(autouse=True)
def environment(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("QM_NODE_ID", "node-1")
    monkeypatch.setenv("QM_AGENT_TOKEN", "t" * 16)
    return monkeypatch


def test_the_loopback_needs_no_tls():
    assert Settings().agent_host == "127.0.0.1"


@pytest.mark.parametrize("host", ["0.0.0.0", "10.0.0.7", "gpu-01.example"])  # noqa: S104
def test_a_network_needs_mutual_tls_or_a_word_that_it_is_trusted(environment, host):
    environment.setenv("QM_AGENT_HOST", host)
    with pytest.raises(ValidationError, match="QM_AGENT_TLS_CERT"):
        Settings()
    environment.setenv("QM_AGENT_PLAINTEXT", "1")
    assert Settings().agent_host == host


def test_a_certificate_needs_its_key(environment):
    environment.setenv("QM_AGENT_TLS_CERT", "cert.pem")
    with pytest.raises(ValidationError, match="need each other"):
        Settings()


def test_a_short_token_is_refused(environment):
    environment.setenv("QM_AGENT_TOKEN", "short")
    with pytest.raises(ValidationError, match="agent_token"):
        Settings()


@pytest.mark.parametrize("text", ["a, b", '["a", "b"]', "a,b,"])
def test_lists_are_read_with_commas_or_as_json(environment, text):
    environment.setenv("QM_SUPPORTED_MODELS", text)
    assert Settings().supported_models == ("a", "b")


def test_workers_never_inherit_what_is_the_agents_own(environment):
    environment.setenv("QM_ENVIRONMENT_ALLOW", "QM_AGENT_TOKEN,MY_CACHE")
    assert "MY_CACHE" in Settings().inherited()
    assert "QM_AGENT_TOKEN" not in Settings().inherited()
