"""Commands decide purely: what the catalogue allows is recorded whole, the rest is denied."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contracts.events import control, environment, model, node, strategy
from contracts.events.alert import WebhookDeleted, WebhookRegistered
from contracts.events.instance import (
    InstanceStartAsked,
    InstanceStarted,
    InstanceStartRequested,
    InstanceStopAsked,
    InstanceStopped,
)
from contracts.http.environments import EnvironmentChanges, NewEnvironment
from contracts.http.models import ModelChanges, StartModel, StopModel
from contracts.http.nodes import NodeChanges
from contracts.http.strategies import NewStrategy, StrategyChanges
from contracts.types import SecretRef
from services.gateway.decide import keeping
from services.gateway.decide.environments import (
    ChangeEnvironment,
    CreateEnvironment,
    DeleteEnvironment,
)
from services.gateway.decide.instances import StartOnNode, StopOnNode
from services.gateway.decide.models import ChangeModel, DeleteModel, RegisterModel
from services.gateway.decide.nodes import ChangeNode, DeleteNode, KillProcessOnNode, RegisterNode
from services.gateway.decide.strategies import (
    ConfigureStrategy,
    CreateStrategy,
    DeleteStrategy,
    SwitchStrategy,
)
from services.gateway.decide.verdicts import Decision, Given
from services.gateway.decide.views import view
from services.gateway.decide.webhooks import ChangeWebhook, DeleteWebhook, RegisterWebhook
from tests.unit.gateway.story import LAUNCH, Story, new_model, new_node

REF = SecretRef(secret_id="s-1", version=1)


def running(instance_id: str, model_id: str, node_id: str, index: int = 0) -> Any:
    return InstanceStartRequested(
        instance_id=instance_id,
        model_id=model_id,
        model_name="llama",
        node_id=node_id,
        gpu_uuid=f"gpu-{index}",
        gpu_index=index,
        boot_id="b-1",
        launch=LAUNCH,
        reason={"code": "a_test"},
    )


def ended(instance_id: str, model_id: str, node_id: str) -> Any:
    return InstanceStopped(
        instance_id=instance_id, model_id=model_id, node_id=node_id, gpu_uuid="gpu-1"
    )


def test_an_environment_comes_with_its_name():
    story = Story().when(CreateEnvironment(NewEnvironment(name="one")))
    story.then(control.NameClaimed, environment.EnvironmentCreated)
    assert story.event(control.NameClaimed).owner == story.shown


def test_a_taken_name_is_denied_with_its_owner():
    story = Story()
    owner = story.an_environment("one")
    denial = story.when(CreateEnvironment(NewEnvironment(name="one"))).then_denied(
        "conflict", "name"
    )
    assert denial.numbers == {"owner": owner}


def test_a_renamed_environment_frees_its_old_name():
    story = Story()
    id_ = story.an_environment("one")
    story.when(ChangeEnvironment(id_, EnvironmentChanges(name="two"))).then(
        control.NameReleased, control.NameClaimed, environment.EnvironmentUpdated
    )
    story.when(CreateEnvironment(NewEnvironment(name="one"))).then(
        control.NameClaimed, environment.EnvironmentCreated
    )


@pytest.mark.parametrize("changes", [{}, {"name": "one"}, {"name": "one", "description": ""}])
def test_what_is_so_already_is_not_recorded(changes):
    story = Story()
    id_ = story.an_environment("one")
    story.when(ChangeEnvironment(id_, EnvironmentChanges(**changes))).then()


def test_an_environment_with_anything_in_it_stays():
    story = Story()
    id_ = story.an_environment()
    model_id = story.a_model(id_)
    denial = story.when(DeleteEnvironment(id_)).then_denied("conflict")
    assert denial.numbers == {"models": [model_id], "nodes": []}
    story.when(DeleteModel(model_id)).then(model.ModelDeleted, control.NameReleased)
    story.when(DeleteEnvironment(id_)).then(environment.EnvironmentDeleted, control.NameReleased)


def test_who_moves_in_stands_on_the_environment_and_is_no_change_of_it():
    story = Story()
    id_ = story.an_environment()
    changed_at, version = story.state.changed_at[f"environment/{id_}"], 1
    for command in (
        RegisterModel(new_model(id_), LAUNCH),
        RegisterNode(new_node(id_)),
    ):
        story.when(command)
        [joined] = [d for d in story.verdict.drafts if d.stream == f"environment/{id_}"]
        assert joined.expected_version == version
        version += 1
    assert story.state.changed_at[f"environment/{id_}"] == changed_at
    assert story.state.entities["environment"][id_].version == 1
    story.when(ChangeEnvironment(id_, EnvironmentChanges(description="x")))
    story.then(environment.EnvironmentUpdated)


def test_a_node_moves_to_another_environment_by_joining_it():
    story = Story()
    first, second = story.an_environment("one"), story.an_environment("two")
    id_ = story.a_node(first)
    story.when(ChangeNode(id_, NodeChanges(environment_id=second)))
    story.then(environment.EnvironmentJoined, node.NodeUpdated)
    story.when(ChangeNode(id_, NodeChanges(environment_id="none"))).then_denied(
        "refused", "environment_id"
    )


def test_a_model_needs_an_environment():
    Story().when(RegisterModel(new_model("env-none"), LAUNCH)).then_denied(
        "refused", "environment_id"
    )


def test_a_models_secret_is_recorded_beside_it_and_never_in_it():
    story = Story()
    command = RegisterModel(new_model(story.an_environment(), rabbitmq_password="canary"), LAUNCH)
    assert command.secret_wanted(Given("x")) is not None
    story.when(command, REF)
    story.then(
        environment.EnvironmentJoined,
        control.NameClaimed,
        control.SecretRotated,
        model.ModelRegistered,
    )
    assert story.event(model.ModelRegistered).queue.password == REF
    assert "canary" not in repr((story.verdict, story.state, command))


@pytest.mark.parametrize("password", [None, ""])
def test_no_password_wants_no_secret(password):
    command = RegisterModel(new_model("env-1", rabbitmq_password=password), LAUNCH)
    assert command.secret_wanted(Given("x")) is None


def test_a_models_password_is_replaced_or_taken_away_and_otherwise_kept():
    story = Story()
    command = RegisterModel(new_model(story.an_environment(), rabbitmq_password="p"), LAUNCH)
    id_ = story.when(command, REF).shown
    story.when(ChangeModel(id_, ModelChanges(description="new", rabbitmq_password="")))
    assert story.event(model.ModelUpdated).queue.password == REF
    newer = SecretRef(secret_id="s-1", version=2)
    story.when(ChangeModel(id_, ModelChanges(rabbitmq_password="q")), newer)
    story.then(control.SecretRotated, model.ModelUpdated)
    assert story.event(model.ModelUpdated).queue.password == newer
    assert story.verdict.drops == ()
    story.when(ChangeModel(id_, ModelChanges(rabbitmq_password=None)))
    assert story.event(model.ModelUpdated).queue.password is None
    assert story.verdict.drops == (newer,)
    assert keeping.from_json(keeping.as_json(story.verdict)) == story.verdict
    story.when(DeleteModel(id_))
    assert story.verdict.forgets == (f"{id_}.rabbitmq",)


def test_a_changed_model_keeps_what_was_not_sent():
    story = Story()
    id_ = story.a_model(story.an_environment(), max_instances=3)
    story.when(ChangeModel(id_, ModelChanges(rabbitmq_port=99, average_inference_time=1.0)))
    event = story.event(model.ModelUpdated)
    assert (event.queue.port, event.queue.name, event.max_instances) == (99, "llama", 3)
    assert event.average_inference_time_s == 1.0
    assert event.launch == LAUNCH
    story.when(ChangeModel(id_, ModelChanges(launch=None))).then()


@pytest.mark.parametrize(
    "changes", [{"min_instances": 9}, {"max_instances": 1, "min_instances": 2}]
)
def test_a_floor_above_the_ceiling_is_denied(changes):
    story = Story()
    id_ = story.a_model(story.an_environment())
    story.when(ChangeModel(id_, ModelChanges(**changes))).then_denied("refused", "min_instances")


def test_a_model_moves_to_another_environment_with_its_name():
    story = Story()
    first, second = story.an_environment("one"), story.an_environment("two")
    id_ = story.a_model(first)
    story.when(ChangeModel(id_, ModelChanges(environment_id=second)))
    story.then(
        environment.EnvironmentJoined,
        control.NameReleased,
        control.NameClaimed,
        model.ModelUpdated,
    )
    assert story.event(environment.EnvironmentJoined).member_id == id_
    story.a_model(first)
    story.when(ChangeModel(id_, ModelChanges(environment_id=first))).then_denied("conflict", "name")
    story.when(ChangeModel(id_, ModelChanges(environment_id="none"))).then_denied(
        "refused", "environment_id"
    )


def test_a_deleted_model_lets_its_secret_be_forgotten():
    story = Story()
    command = RegisterModel(new_model(story.an_environment(), rabbitmq_password="p"), LAUNCH)
    id_ = story.when(command, REF).shown
    story.when(DeleteModel(id_))
    assert isinstance(story.verdict, Decision)
    assert story.verdict.forgets == (f"{id_}.rabbitmq", "s-1")


def test_a_nodes_own_news_do_not_stand_in_the_way_of_a_change():
    story = Story()
    id_ = story.a_node(story.an_environment())
    story.given(node.NodeCameOnline(node_id=id_, boot_id="b-1"))
    story.when(ChangeNode(id_, NodeChanges(available_gpu_ids=[1]))).then(node.NodeUpdated)
    assert story.event(node.NodeUpdated).available_gpu_ids == (1,)
    story.when(ChangeNode(id_, NodeChanges(available_gpu_ids=[1]))).then()


def test_a_node_on_which_something_runs_is_deleted_by_force_only():
    story = Story()
    environment_id = story.an_environment()
    model_id, node_id = story.a_model(environment_id), story.a_node(environment_id)
    story.given(running("i-1", model_id, node_id))
    denial = story.when(DeleteNode(node_id)).then_denied("conflict")
    assert denial.numbers == {"instances": ["i-1"]}
    story.when(DeleteNode(node_id, force=True)).then(node.NodeDeleted, control.NameReleased)


def test_a_start_is_asked_for_a_model_by_name_or_id():
    story = Story()
    environment_id = story.an_environment()
    model_id, node_id = story.a_model(environment_id), story.a_node(environment_id)
    for named in ({"model_name": "llama"}, {"model_id": model_id}):
        story.when(StartOnNode(node_id, StartModel(gpu_id=1, **named))).then(InstanceStartAsked)
        assert story.event(InstanceStartAsked).model_id == model_id


def test_a_gpu_that_is_not_ours_to_use_is_denied():
    story = Story()
    environment_id = story.an_environment()
    story.a_model(environment_id)
    node_id = story.a_node(environment_id)
    start = StartOnNode(node_id, StartModel(model_name="llama", gpu_id=1))
    story.given(
        node.NodeInventoryChanged(
            node_id=node_id, boot_id="b-1", gpus=({"uuid": "g-0", "index": 0},), supported_models=()
        )
    )
    story.when(start).then_denied("refused", "gpu_id")
    story.when(ChangeNode(node_id, NodeChanges(available_gpu_ids=[0])))
    story.when(start).then_denied("refused", "gpu_id")


def test_a_stop_needs_to_know_which_one_is_meant():
    story = Story()
    environment_id = story.an_environment()
    model_id, node_id = story.a_model(environment_id), story.a_node(environment_id)
    story.given(running("i-1", model_id, node_id, 0), running("i-2", model_id, node_id, 1))
    stop = StopOnNode(node_id, StopModel(model_name="llama"))
    story.when(stop).then_denied("refused", "gpu_id")
    story.when(StopOnNode(node_id, StopModel())).then_denied("refused", "instance_id")
    story.when(StopOnNode(node_id, StopModel(gpu_id=1, model_name="llama")))
    assert story.event(InstanceStopAsked).instance_id == "i-2"
    story.given(ended("i-2", model_id, node_id))
    story.when(stop).then(InstanceStopAsked)
    assert story.event(InstanceStopAsked).instance_id == "i-1"


def test_strategies_are_stored_configured_and_switched():
    story = Story()
    id_ = story.when(CreateStrategy(NewStrategy(name="busy_queue_scaling"))).shown
    story.when(SwitchStrategy(id_, active=False)).then()
    story.when(SwitchStrategy(id_, active=True)).then(strategy.StrategyActivated)
    story.when(ConfigureStrategy(id_, StrategyChanges(parameters={"idle_s": 5})))
    story.then(strategy.StrategyConfigured)
    assert story.state.entities["strategy"][id_].data["active"] is True
    denial = story.when(
        ConfigureStrategy(id_, StrategyChanges(parameters={"nope": 5}))
    ).then_denied("refused")
    assert denial.errors[0]["field"] == "parameters.nope"
    story.when(DeleteStrategy(id_)).then(strategy.StrategyDeleted, control.NameReleased)


def test_webhooks_are_registered_changed_and_deleted():
    story = Story()
    id_ = story.when(RegisterWebhook("https://a.example/"), REF).shown
    story.then(control.SecretRotated, WebhookRegistered)
    story.when(ChangeWebhook(id_, None, has_new_secret=False)).then()
    story.when(ChangeWebhook(id_, "https://b.example/", has_new_secret=False))
    assert story.event(WebhookRegistered).secret == REF
    shown = view("webhook", id_, story.state.entities["webhook"][id_])
    assert shown["has_secret"] is True
    assert "secret" not in shown
    story.when(DeleteWebhook(id_)).then(WebhookDeleted)
    assert isinstance(story.verdict, Decision)
    assert story.verdict.forgets == ("s-1",)


@pytest.mark.parametrize(
    "command",
    [
        ChangeEnvironment("none", EnvironmentChanges()),
        DeleteEnvironment("none"),
        ChangeModel("none", ModelChanges()),
        DeleteModel("none"),
        ChangeNode("none", NodeChanges()),
        DeleteNode("none"),
        KillProcessOnNode("none", 1),
        StartOnNode("none", StartModel(model_id="x")),
        StopOnNode("none", StopModel(instance_id="x")),
        ConfigureStrategy("none", StrategyChanges()),
        SwitchStrategy("none", active=True),
        DeleteStrategy("none"),
        ChangeWebhook("none", None, has_new_secret=False),
        DeleteWebhook("none"),
    ],
    ids=lambda command: type(command).__name__,
)
def test_what_is_not_there_is_not_found(command):
    Story().when(command).then_denied("not_found")


def test_a_decision_comes_back_as_it_was_kept():
    story = Story()
    command = RegisterModel(new_model(story.an_environment(), rabbitmq_password="p"), LAUNCH)
    story.when(command, REF)
    assert isinstance(story.verdict, Decision)
    kept = orjson.loads(orjson.dumps(keeping.as_json(story.verdict)))
    assert keeping.from_json(kept) == story.verdict


def test_events_that_are_not_ours_change_nothing():
    story = Story()
    before = repr(story.state)
    story.given(
        InstanceStarted(instance_id="i", model_id="m", node_id="n", gpu_uuid="g", pid=1),
        strategy.StrategyActivated(strategy_id="none"),
    )
    assert repr(story.state.entities) in before


NAMES = st.sampled_from(["one", "two"])
STEPS = st.lists(st.tuples(st.integers(0, 7), NAMES, st.integers(0, 5)), max_size=40)


@settings(max_examples=80, deadline=None)
@given(STEPS)
def test_whatever_is_asked_names_stay_unique_and_nothing_loses_its_environment(steps):
    story = Story()
    for step, name, pick in steps:
        story.when(_step(story, step, name, pick))
        state = story.state
        for kind in ("environment", "node"):
            names = [each.data["name"] for each in state.entities[kind].values()]
            assert len(names) == len(set(names))
        scoped = [
            (each.data["environment_id"], each.data["name"])
            for each in state.entities["model"].values()
        ]
        assert len(scoped) == len(set(scoped))
        things = [*state.entities["model"].values(), *state.entities["node"].values()]
        assert {each.data["environment_id"] for each in things} <= state.entities[
            "environment"
        ].keys()
        assert len(state.owners) == len(state.entities["environment"]) + len(things)


def _step(story: Story, step: int, name: str, pick: int) -> Any:
    def one(kind: Any) -> str:
        known = sorted(story.state.entities[kind])
        return known[pick % len(known)] if known else "none"

    return [
        lambda: CreateEnvironment(NewEnvironment(name=name)),
        lambda: ChangeEnvironment(one("environment"), EnvironmentChanges(name=name)),
        lambda: DeleteEnvironment(one("environment")),
        lambda: RegisterModel(new_model(one("environment"), name=name), LAUNCH),
        lambda: ChangeModel(
            one("model"), ModelChanges(name=name, environment_id=one("environment"))
        ),
        lambda: DeleteModel(one("model")),
        lambda: RegisterNode(new_node(one("environment"), name=name)),
        lambda: DeleteNode(one("node")),
    ][step]()
