"""Fixtures: the engines once for all tests, a fresh database and a fresh broker for each module."""

from __future__ import annotations

import asyncio
import gc
import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from xdist.scheduler import LoadFileScheduling

from tests.left_out import left_out
from tests.platform import Broker, LogDatabase, new_broker, new_database, stop_engines, test_engines

if TYPE_CHECKING:
    from collections.abc import Iterator

    from xdist.remote import Producer

    from deploy.local.engines import Engines

STATE = Path(os.environ.get("QM_TEST_STATE", Path(__file__).parents[1] / ".quartermaster" / "test"))
E2E = "tests/e2e/"


def pytest_report_header(config: pytest.Config) -> list[str]:
    """Say what a run of everything leaves out for want of a program; nothing is ever skipped."""
    is_whole = config.args_source == pytest.Config.ArgsSource.TESTPATHS
    return left_out() if is_whole and not hasattr(config, "workerinput") else []


class OneFleetAtATime(LoadFileScheduling):
    """Each file to a worker; all whole fleets to one, for they promise things within seconds."""

    def _split_scope(self, nodeid: str) -> str:
        file = super()._split_scope(nodeid)
        return E2E if file.startswith(E2E) else file


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> OneFleetAtATime:
    """Spread tests over the workers."""
    return OneFleetAtATime(config, log)


def pytest_collection_finish() -> None:
    """Spare the garbage collector what lives as long as the worker: half a second each time."""
    gc.collect()
    gc.freeze()


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Stop the engines once all workers are done."""
    if not hasattr(session.config, "workerinput"):
        stop_engines(STATE)


@pytest.fixture(scope="session")
def engines() -> Engines:
    """PostgreSQL and RabbitMQ, started by the first test that needs them, shared by all workers."""
    return test_engines(STATE)


@pytest.fixture(scope="module")
def database(engines: Engines) -> Iterator[LogDatabase]:
    """A migrated database of this module's own."""
    made = new_database(engines)
    yield made
    made.drop()


@pytest.fixture(scope="module")
def broker(engines: Engines) -> Iterator[Broker]:
    """A virtual host of this module's own, with every service's user and rights."""
    made = new_broker(engines)
    asyncio.run(made.declare())
    yield made
    made.drop()
