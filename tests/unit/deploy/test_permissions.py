"""Least rights on the broker, as patterns."""

import re

import pytest

from deploy.rabbitmq import permissions

OTHERS = [name for name in permissions.service_names() if name != "journal"]
OWN = ("recorded", "replies")


def _may(service: str, what: str, name: str) -> bool:
    return re.search(permissions.of_service(service)[what], name) is not None


@pytest.mark.parametrize("service", OTHERS)
def test_a_service_configures_nothing_but_its_own_passing_queues(service: str) -> None:
    assert all(_may(service, "configure", f"{service}.0190-ab.{kind}") for kind in OWN)
    forbidden = [f"{service}.lead", "journal.proposed", "qm.recorded", "qm.proposed", "other"]
    assert not any(_may(service, "configure", name) for name in forbidden)


@pytest.mark.parametrize("service", OTHERS)
@pytest.mark.parametrize("right", ["configure", "write", "read"])
def test_nobody_touches_the_queues_of_another(service: str, right: str) -> None:
    for other in permissions.service_names():
        if other != service:
            names = [f"{other}.0190-ab.recorded", f"{other}.0190-ab.replies", f"{other}.lead"]
            assert not any(_may(service, right, name) for name in names)


@pytest.mark.parametrize("service", OTHERS)
def test_nobody_but_the_journal_writes_what_was_recorded(service: str) -> None:
    forbidden = ["qm.recorded", "qm.beacon", "journal.proposed", "qm.parked", f"{service}.lead"]
    assert not any(_may(service, "write", name) for name in forbidden)


def test_the_journal_declares_the_whole_topology() -> None:
    named = {name for rights in permissions.SERVICES.values() for name in rights.reads}
    named |= {name for rights in permissions.SERVICES.values() for name in rights.writes}
    for name in named - {permissions.ANSWERS} | {"journal.proposed", "journal.asked"}:
        assert all(_may("journal", right, name) for right in ("configure", "write", "read")), name


def test_a_dot_is_a_dot() -> None:
    assert not _may("scheduler", "write", "qmxproposed")


@pytest.mark.parametrize("service", OTHERS)
def test_only_who_answers_requests_writes_to_the_default_exchange(service: str) -> None:
    assert _may(service, "write", "amq.default") == (service in {"vault", "scheduler"})
