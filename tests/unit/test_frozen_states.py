"""A state that was frozen, thawed and folded on is the one that was folded from the start."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import fields, is_dataclass
from datetime import datetime, timedelta
from importlib import import_module
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from services.alerter.decide import RETRIES_S, alerts, due
from services.alerter.state import View
from services.chassis.frozen import Freezer, pack, unpack
from services.deployer.decide import jobs
from services.gateway.decide.names import claim
from services.node_monitor.decide import Patience, silence
from services.node_monitor.state import Watch
from services.queue_sampler.decide import changes
from services.queue_sampler.decide import due as due_samples
from services.queue_sampler.state import Failure
from services.scheduler.decide import decide
from tests import builders as b
from tests.random_events import random_logs
from tests.spec import Spec

SERVICES = ("scheduler", "deployer", "node_monitor", "queue_sampler", "alerter", "gateway")


def new(service: str) -> Any:
    return import_module(f"services.{service}.state").State()


def decided(service: str, state: Any, now: datetime) -> Any:
    """Return all that a service decides on a state, or that it cannot decide on such nonsense."""
    try:
        return repr(_decided(service, state, now))
    except (KeyError, ValueError, IndexError, AssertionError) as error:
        return repr(error)


def _decided(service: str, state: Any, now: datetime) -> Any:
    match service:
        case "scheduler":
            return decide(state, now, 1)
        case "deployer":
            return jobs(state)
        case "node_monitor":
            watches = {node_id: Watch(0.0, missed=3, first_missed_s=0.0) for node_id in state.nodes}
            return silence(state, watches, 100.0, Patience(silent_after_s=10.0, window_s=30.0))
        case "queue_sampler":
            refused = Failure("not_found", "gone")
            asked = due_samples(state, {}, 0.0, at_once=True)
            return asked, [changes(state, model_id, refused) for model_id in asked]
        case "alerter":
            return alerts(View(state, now)), due(state, now, RETRIES_S, set())
        case _:
            return [claim(state, "node", name, "me") for name in ("a", "n1")], state.versions


def again(service: str, state: Any) -> Any:
    """Freeze a state, and return what is thawed of it in a process that just began."""
    freezer, other = Freezer(service, state), new(service)
    packed, plain_bytes = pack(freezer.freeze(state))
    for _ in freezer.thaw(unpack(packed, plain_bytes), other):
        pass
    return other


def fold(state: Any, events: Any) -> None:
    for event in events:
        with suppress(Exception):  # what cannot be folded is passed over, by both alike
            state.apply(event)


@pytest.mark.parametrize("service", SERVICES)
@settings(max_examples=30, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_frozen_anywhere_and_folded_on_it_is_the_same_and_decides_the_same(service, data):
    history = data.draw(random_logs(new(service).TYPES))
    cut = data.draw(st.integers(0, len(history)))
    straight, stopped = new(service), new(service)
    fold(stopped, history[:cut])
    thawed = again(service, stopped)
    assert repr(thawed) == repr(stopped)
    fold(straight, history)
    fold(thawed, history[cut:])
    assert repr(thawed) == repr(straight)
    now = history[-1].recorded_at + timedelta(seconds=data.draw(st.sampled_from((0, 61, 700))))
    assert decided(service, thawed, now) == decided(service, straight, now)


@pytest.mark.parametrize("service", SERVICES)
@settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_what_changes_in_a_state_is_reached_once_so_that_nothing_comes_back_as_two(service, data):
    state = new(service)
    fold(state, data.draw(random_logs(state.TYPES)))
    seen: dict[int, str] = {}
    for path, part in parts(state, service):
        assert id(part) not in seen, f"{path} is {seen[id(part)]}"
        seen[id(part)] = path


def parts(value: Any, path: str) -> Iterator[tuple[str, Any]]:
    """Yield everything that may change in a value, and where it stands."""
    if isinstance(value, dict | list | deque):
        yield path, value
    if isinstance(value, dict):
        for key, each in value.items():
            yield from parts(each, f"{path}[{key!r}]")
    elif isinstance(value, list | deque | tuple):
        for number, each in enumerate(value):
            yield from parts(each, f"{path}[{number}]")
    elif may_change(value):
        yield path, value
        for each in fields(value):
            yield from parts(getattr(value, each.name), f"{path}.{each.name}")


def may_change(value: Any) -> bool:
    return is_dataclass(value) and not type(value).__dataclass_params__.frozen


def test_a_scheduler_that_decides_and_is_frozen_all_the_time_decides_as_one_that_is_not():
    models = [b.a_model(f"m{k}", max_instances=3, min_instances=k % 3) for k in range(8)]
    nodes = [b.a_node(f"n{k}", gpus=2, supported=("*", f"m{k}")[k % 2 :]) for k in range(4)]
    spec = Spec(new("scheduler"), decide, epoch=1).given(*models, *nodes)
    for lengths in ((0, 40), (90, 0), (5, 70), (0, 0), (0, 0)):
        for _ in range(6):
            spec.after(60).given(*(b.sampled(f"m{k}", lengths[k % 2]) for k in range(8)))
            thawed = again("scheduler", spec.state)
            assert repr(thawed) == repr(spec.state)
            assert decide(thawed, spec.log.now, 1) == spec.when_deciding().proposals
            spec.state = thawed
            spec.when_recorded()
            _come_true(spec)
    straight = new("scheduler")
    fold(straight, spec.log.events)
    assert repr(straight) == repr(spec.state)
    assert any(event.type == "instance.stop_requested" for event in spec.log.events)


def _come_true(spec: Any) -> None:
    for instance_id, instance in list(spec.state.instances.items()):
        where = {"node_id": instance.node_id, "gpu": int(instance.gpu_uuid[-1])}
        if instance.phase == "requested":
            spec.given(b.started(instance_id, instance.model_id, **where))
        elif instance.phase == "stopping" and instance.ended is None:
            spec.given(b.stopped(instance_id, instance.model_id, **where))
