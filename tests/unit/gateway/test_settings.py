"""Settings by the names that installations already use, from the environment and from `.env`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from pydantic import ValidationError

from services.chassis.run import log_level
from services.gateway.settings import Settings as Gateway
from services.node_monitor.settings import Settings as NodeMonitor
from services.query.settings import Settings as Query
from services.scheduler.settings import Settings as Scheduler

if TYPE_CHECKING:
    from pathlib import Path

GIVEN = {
    "DATABASE_URL": "postgresql://h/from-the-old-name",
    "CORS_ORIGINS": '["https://a.example", "https://b.example"]',
    "API_V1_STR": "/gpu/api/v1",
    "PROJECT_NAME": "The fleet",
    "LOG_LEVEL": "debug",
    "ENABLE_SCHEDULER": "false",
    "NODE_STATUS_REFRESH_INTERVAL": "45",
    "QUEUE_HISTORY_MAX_LENGTH": "77",
    "QM_AMQP_URL": "amqp://h/",
    "QM_AGENT_TOKEN": "a-token-of-many-letters",
}


@pytest.fixture(params=["environment", ".env"])
def given(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    for name, value in GIVEN.items():
        monkeypatch.delenv(name, raising=False)
        if request.param == "environment":
            monkeypatch.setenv(name, value)
    monkeypatch.delenv("QM_DATABASE_URL", raising=False)
    if request.param == ".env":
        lines = [f"{name}={value}\n" for name, value in GIVEN.items()]
        (tmp_path / ".env").write_text("".join(lines))


@pytest.mark.usefixtures("given")
def test_every_old_name_is_heard_wherever_it_is_said():
    gateway = Gateway()  # type: ignore[call-arg]
    assert gateway.database_url == "postgresql://h/from-the-old-name"
    assert gateway.cors_origins == ("https://a.example", "https://b.example")
    assert gateway.api_v1_str == "/gpu/api/v1"
    assert gateway.project_name == "The fleet"
    assert log_level() == "DEBUG"
    assert Scheduler().enable_scheduler is False  # type: ignore[call-arg]
    assert NodeMonitor().node_status_refresh_interval == 45  # type: ignore[call-arg]
    assert Query().queue_history_max_length == 77  # type: ignore[call-arg]


@pytest.mark.parametrize(
    ("name", "value"),
    [("reads_per_s", -1), ("streams", 0), ("max_body_bytes", 10), ("stream_kept_events", 5)],
)
def test_a_limit_that_cannot_be_stops_the_start(name: str, value: float):
    with pytest.raises(ValidationError, match=name):
        Gateway(_env_file=None, amqp_url="amqp://h/", QM_DATABASE_URL="x", **{name: value})  # type: ignore[call-arg, arg-type]
