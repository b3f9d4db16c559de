"""`quartermaster apply` and `diff`: compared, shown, asked, done; once more changes nothing."""

from __future__ import annotations

import orjson
import pytest

from contracts.http.environments import NewEnvironment
from contracts.http.models import NewModel
from contracts.http.nodes import NewNode
from contracts.http.strategies import NewStrategy
from contracts.http.webhooks import NewWebhook
from contracts.manifests import (
    EnvironmentSpec,
    ModelSpec,
    NodeSpec,
    StrategySpec,
    WebhookSpec,
)
from tests.unit.cli.fake_gateway import FakeGateway, refused, run

FLEET = """\
kind: Model
name: llama
environment: production
spec:
  rabbitmq_host: 10.0.0.5
  rabbitmq_queue_name: llama-requests
  rabbitmq_username: reader
  rabbitmq_password:
    valueFrom: {env: LLAMA_PASSWORD}
  average_inference_time: 1.5
  max_instances: 4
---
kind: Environment
name: production
---
kind: Node
name: gpu-01
environment: production
spec: {host: 10.0.0.7, port: 8090, available_gpu_ids: [1, 0]}
---
kind: Strategy
name: busy_queue_scaling
spec: {parameters: {busy_threshold_s: 20}, active: true}
---
kind: Webhook
spec: {url: "https://hooks.example.org/qm"}
"""
ENVIRONMENT = {"LLAMA_PASSWORD": "s3cret"}


@pytest.fixture
def fake():
    return FakeGateway()


@pytest.fixture
def apply(fake, tmp_path):
    def apply(text, *arguments, command="apply", **more):
        (tmp_path / "fleet.yaml").write_text(text)
        file = str(tmp_path / "fleet.yaml")
        more.setdefault("environment", ENVIRONMENT)
        return run(fake, command, "-f", file, *arguments, place=tmp_path / "kept", **more)

    return apply


def test_everything_is_made_in_an_order_that_works(apply, fake):
    result = apply(FLEET, "--yes")
    assert result.exit_code == 0, result.output
    paths = [path for _, path, _ in fake.commands()]
    assert paths == ["/environments", "/nodes", "/models", "/scheduling-strategies", "/webhooks"]
    bodies = [body for *_, body in fake.commands()]
    assert bodies[1] == {
        "name": "gpu-01", "environment_id": "env-1", "agent_url": "http://10.0.0.7:8090",
        "available_gpu_ids": [0, 1],
    }  # fmt: skip
    assert bodies[2]["rabbitmq_password"] == "s3cret"
    assert "s3cret" not in result.output
    assert "+ Model llama (production)" in result.stdout
    assert "    rabbitmq_password: (from $LLAMA_PASSWORD)" in result.stdout
    assert "5 to create, 0 to change, 0 as is" in result.stdout
    assert "its signing secret, shown this once: whsec_made" in result.stdout


def test_applied_again_nothing_is_done_and_nothing_is_asked(apply, fake):
    apply(FLEET, "--yes")
    before = fake.commands()
    result = apply(FLEET)
    assert result.exit_code == 0
    assert fake.commands() == before
    assert "= Model llama (production)" in result.stdout
    assert "rabbitmq_password: kept as it is (--secrets sends it)" in result.stdout


def test_only_what_differs_is_sent_and_only_if_nobody_changed_it_since(apply, fake):
    apply(FLEET, "--yes")
    changed = FLEET.replace("max_instances: 4", "max_instances: 8").replace("[1, 0]", "[0]")
    result = apply(changed, "--yes")
    assert "    available_gpu_ids: 0,1 -> 0" in result.stdout
    assert "    max_instances: 4 -> 8" in result.stdout
    assert fake.commands()[5:] == [
        ("PATCH", "/nodes/nod-1", {"available_gpu_ids": [0]}),
        ("PATCH", "/models/mdl-1", {"max_instances": 8}),
    ]
    assert fake.asked[-1].url.params["if_position"] == "41"


def test_what_a_file_does_not_name_is_left_as_it_is(apply, fake):
    fake.made("environments", name="production", description="by hand")
    assert apply("kind: Environment\nname: production\n").exit_code == 0
    assert fake.commands() == []


def test_a_strategys_parameters_are_compared_one_by_one_and_it_is_switched(apply, fake):
    apply(FLEET, "--yes")
    text = "kind: Strategy\nname: busy_queue_scaling\nspec: {parameters: {idle_s: 60}, active: false}\n"
    apply(text, "--yes")
    assert fake.commands()[5:] == [
        ("PATCH", "/scheduling-strategies/str-1", {"parameters": {"idle_s": 60}}),
        ("POST", "/scheduling-strategies/str-1/deactivate", None),
    ]
    result = apply("kind: Strategy\nname: busy_queue_scaling\nspec: {policy: other}\n", "--yes")
    fake.things["scheduling-strategies"]["str-1"]["policy"] = "busy_queue_scaling"
    result = apply("kind: Strategy\nname: busy_queue_scaling\nspec: {policy: other}\n", "--yes")
    assert result.exit_code == 2
    assert "spec.policy: it cannot be changed" in result.stderr


def test_a_node_moves_when_another_environment_is_named(apply, fake):
    apply(FLEET, "--yes")
    moved = "kind: Environment\nname: lab\n---\n" + FLEET.split("---\n")[2].replace(
        "production", "lab"
    )
    result = apply(moved, "--yes")
    assert "    environment: production -> lab" in result.stdout
    assert fake.commands()[-1] == ("PATCH", "/nodes/nod-1", {"environment_id": "env-2"})
    assert "if_position" not in fake.asked[-1].url.params


def test_secrets_are_sent_again_on_demand(apply, fake):
    apply(FLEET, "--yes")
    apply(FLEET, "--yes", "--secrets", environment={"LLAMA_PASSWORD": "new"})
    assert fake.commands()[-1] == ("PATCH", "/models/mdl-1", {"rabbitmq_password": "new"})


def test_diff_changes_nothing_and_its_exit_code_says_whether_there_is_any(apply, fake):
    result = apply(FLEET, command="diff")
    assert (result.exit_code, fake.commands()) == (1, [])
    apply(FLEET, "--yes")
    assert apply(FLEET, command="diff").exit_code == 0
    told = orjson.loads(apply(FLEET, "-o", "json", command="diff").stdout)
    assert [each["action"] for each in told] == ["keep"] * 5


def test_without_a_yes_and_nobody_to_ask_nothing_is_done(apply, fake):
    result = apply(FLEET)
    assert (result.exit_code, fake.commands()) == (2, [])
    assert "Apply 5 changes? Nobody can be asked here: add --yes" in result.stderr


def test_everything_that_is_wrong_is_named_by_file_line_document_and_field(apply, fake, tmp_path):
    bad = """\
kind: Environment
name: production
---
kind: Model
name: llama
environment: production
spec:
  rabbitmq_host: 10.0.0.5
  rabbitmq_port: many
  rabbitmq_password: s3cret
  colour: blue
---
kind: Cat
"""
    result = apply(bad, "--yes")
    file = tmp_path / "fleet.yaml"
    assert result.exit_code == 2
    said = result.stderr
    assert (
        f"{file}:9: document 2 (Model llama), spec.rabbitmq_port: Input should be a valid integer"
        in said
    )
    assert (
        f"{file}:10: document 2 (Model llama), spec.rabbitmq_password: a secret is not written"
        in said
    )
    assert f"{file}:11: document 2 (Model llama), spec.colour: Extra inputs" in said
    assert f"{file}:7: document 2 (Model llama), spec.rabbitmq_queue_name: Field required" in said
    assert f"{file}:13: document 3 (Cat), kind: one of Environment, Node" in said
    assert "s3cret" not in said
    assert fake.asked == []


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("kind: Environment\nname: a\nname: b\n", ":3: name stands here twice"),
        ("kind: Environment\nname: a\n---\nkind: Environment\nname: a\n", ":4: document 2"),
        ("a: [\n", ":2: "),
        ("", "there is no document in it"),
        ("- 1\n", "document 1, kind:"),
    ],
)
def test_a_file_that_is_none_is_refused(apply, text, said):
    result = apply(text, "--yes")
    assert (result.exit_code, said in result.stderr) == (2, True), result.stderr


def test_a_variable_that_is_not_set_is_named_before_anything_is_done(apply, fake):
    result = apply(FLEET, "--yes", environment={"LLAMA_PASSWORD": None})
    assert (result.exit_code, fake.commands()) == (2, [])
    assert "document 1 (Model llama (production)), spec.rabbitmq_password:" in result.stderr
    assert "the environment variable LLAMA_PASSWORD is not set" in result.stderr


def test_an_environment_that_is_nowhere_is_named(apply, fake):
    result = apply(FLEET.replace("name: production", "name: elsewhere"), "--yes")
    assert result.exit_code == 2
    assert "environment: there is no environment production, here or there" in result.stderr


def test_a_refusal_in_the_middle_says_how_far_it_came_and_what_to_do(apply, fake):
    fake.answers["POST /models"] = refused(409, "the name llama is taken")
    result = apply(FLEET, "--yes")
    assert result.exit_code == 1
    assert "Model llama (production): 409: the name llama is taken" in result.stderr
    assert "2 of 5 are done, the rest was not begun; apply again" in result.stderr


def test_as_json_it_is_one_document_with_what_became_of_each_and_its_secret(apply, fake):
    result = apply(FLEET, "--yes", "-o", "json")
    told = {each["kind"]: each for each in orjson.loads(result.stdout)}
    assert {each["outcome"] for each in told.values()} == {"created"}
    assert told["Webhook"]["secret"] == "whsec_made"
    assert told["Model"]["id"] == "mdl-1"
    assert "5 to create" in result.stderr
    again = orjson.loads(apply(FLEET, "--yes", "-o", "json").stdout)
    assert {each["outcome"] for each in again} == {"as_it_was"}


def test_as_json_a_refusal_tells_of_what_was_done_before_it(apply, fake):
    fake.answers["POST /models"] = refused(409, "the name llama is taken")
    result = apply(FLEET, "--yes", "-o", "json")
    assert result.exit_code == 1
    outcomes = [each["outcome"] for each in orjson.loads(result.stdout)]
    assert sorted(outcomes) == ["created"] * 2 + ["not_done"] * 3


def test_standard_input_and_directories_are_read_too(fake, tmp_path):
    result = run(
        fake, "apply", "-f", "-", "--yes", place=tmp_path, typed="kind: Environment\nname: a\n"
    )
    assert result.exit_code == 0, result.output
    (tmp_path / "all").mkdir()
    for name in "bc":
        (tmp_path / "all" / f"{name}.yml").write_text(f"kind: Environment\nname: {name}\n")
    run(fake, "apply", "-f", str(tmp_path / "all"), "--yes", place=tmp_path)
    assert [each["name"] for each in fake.things["environments"].values()] == ["a", "b", "c"]


@pytest.mark.parametrize(
    ("spec", "body", "apart"),
    [
        (EnvironmentSpec, NewEnvironment, {"name"}),
        (ModelSpec, NewModel, {"name", "environment_id"}),
        (NodeSpec, NewNode, {"name", "environment_id"}),
        (StrategySpec, NewStrategy, {"name"}),
        (WebhookSpec, NewWebhook, set()),
    ],
)
def test_a_manifest_can_say_all_that_the_api_can(spec, body, apart):
    assert spec.model_fields.keys() == body.model_fields.keys() - apart
