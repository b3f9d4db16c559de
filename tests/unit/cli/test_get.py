"""`quartermaster get`, `describe`, `delete`: every kind by id or name, for people and programs."""

from __future__ import annotations

import orjson
import pytest
import yaml

from services.cli.commands import showing
from services.cli.decide.kinds import KINDS, SAID
from services.cli.decide.words import cell, lines
from tests.unit.cli.fake_gateway import AT, FakeGateway, refused, run


@pytest.fixture
def fake():
    fake = FakeGateway()
    for name in ("production", "staging", "research"):
        fake.made("environments", name=name, description="")
    fake.made(
        "models", name="llama", environment_id="env-1", instances={"ready": 2}, min_instances=1
    )
    fake.made("models", name="llama", environment_id="env-2", min_instances=0)
    fake.made("models", name="qwen", environment_id="env-1", min_instances=0)
    return fake


@pytest.fixture
def get(fake, tmp_path):
    return lambda *arguments, **more: run(fake, *arguments, place=tmp_path, **more)


def test_off_a_terminal_a_list_is_lines_of_fields_with_names_for_ids(get):
    said = get("get", "models").stdout.splitlines()
    assert said[0].split("\t")[:4] == ["ID", "NAME", "ENVIRONMENT", "READY"]
    assert said[1].split("\t")[:5] == ["mdl-1", "llama", "production", "2", "1"]
    assert len(said) == 4  # all pages


def test_a_kind_may_be_called_as_people_call_it():
    for said in ("model", "models", "env", "gpus", "strategies", "inst"):
        assert said in SAID
    assert len({kind.plural for kind in KINDS.values()}) == len(KINDS)


def test_an_unknown_kind_is_wrong_use_and_says_which_there_are(get):
    result = get("get", "cats")
    assert result.exit_code == 2
    assert "environments, models" in result.stderr


@pytest.mark.parametrize("which", ["mdl-3", "qwen"])
def test_one_is_found_by_its_id_and_by_its_name(get, which):
    assert orjson.loads(get("get", "model", which, "-o", "json").stdout)["id"] == "mdl-3"


def test_what_is_not_there_is_exit_code_1(get):
    result = get("get", "model", "gpt")
    assert (result.exit_code, result.stdout) == (1, "")
    assert "there is no model gpt" in result.stderr


def test_a_name_that_two_have_is_a_conflict_that_says_which(get):
    result = get("get", "model", "llama")
    assert result.exit_code == 1
    assert "mdl-1, mdl-2" in result.stderr


def test_lists_are_narrowed_by_names(get, fake):
    said = get("get", "models", "-e", "production", "-o", "name").stdout.splitlines()
    assert said == ["mdl-1", "mdl-3"]
    result = get("get", "models", "--node", "gpu-01")
    assert (result.exit_code, "models have no node" in result.stderr) == (2, True)


def test_programs_get_json_or_yaml_of_all_of_it(get):
    as_json = orjson.loads(get("get", "envs", "-o", "json").stdout)
    assert [each["name"] for each in as_json["items"]] == ["production", "staging", "research"]
    assert yaml.safe_load(get("get", "envs", "-o", "yaml").stdout) == as_json


def test_the_past_is_asked_of_every_list_that_is_looked_into(get, fake):
    get("get", "models", "--as-of", "12")
    reads = [each.url.params.get("as_of") for each in fake.asked]
    assert set(reads) == {"12"}
    result = get("get", "keys", "--as-of", "12")
    assert result.exit_code == 2


def test_instances_and_alerts_that_are_over_are_left_out_unless_asked_for(get, fake):
    empty = {"items": [], "next_cursor": None}
    fake.answers |= {"/instances": empty, "/alerts": empty}
    get("get", "instances")
    get("get", "instances", "--all")
    get("get", "alerts")
    asked = [dict(each.url.params) for each in fake.asked]
    assert [each.get("active") for each in asked] == ["true", None, None]
    assert asked[2]["open"] == "true"


def test_an_empty_list_is_said_beside_the_answer(get, fake):
    result = get("get", "nodes")
    assert (result.exit_code, result.stdout, result.stderr) == (0, "", "there are no nodes\n")


def test_watching_shows_again_only_what_has_changed(get, fake, monkeypatch):
    looks = iter([lambda: None, lambda: fake.made("environments", name="new"), KeyboardInterrupt])

    def sleep(_):
        step = next(looks)
        if step is KeyboardInterrupt:
            raise step
        step()

    monkeypatch.setattr(showing, "sleep", sleep)
    result = get("get", "envs", "-o", "name", "--watch")
    assert result.exit_code == 130
    assert result.stdout.split() == ["env-1", "env-2", "env-3", "env-1", "env-2", "env-3", "env-4"]


def test_describing_shows_fields_the_reason_and_what_happened(get, fake):
    happened = {"began_at": AT, "who": "ada", "what": "registered", "why": None}
    fake.answers |= {
        "/explain/model/mdl-3": {"sentence": "qwen waits."},
        "/history/model/mdl-3": {"items": [happened]},
    }
    said = get("describe", "model", "qwen").stdout
    assert "environment_id:        env-1" in said
    assert "why: qwen waits." in said
    assert "  2026-05-04 12:00:00  ada  registered" in said
    fake.answers["/explain/model/mdl-3"] = refused(503, "the scheduler does not answer")
    assert "why: cannot be told now (503: the scheduler" in get("describe", "model", "qwen").stdout


def test_deleting_asks_and_nobody_here_can_be_asked(get, fake):
    result = get("delete", "model", "qwen")
    assert result.exit_code == 2
    assert "add --yes" in result.stderr
    assert fake.commands() == []
    assert get("delete", "model", "qwen", "--yes").stdout == "deleted model qwen (mdl-3)\n"
    assert fake.commands() == [("DELETE", "/models/mdl-3", None)]
    assert fake.asked[-1].headers["idempotency-key"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("gpu", "GPU-1"), "gpus are not deleted"),
        (("model", "qwen", "--force"), "--force is for nodes"),
    ],
)
def test_what_cannot_be_deleted_says_so(get, arguments, said):
    result = get("delete", *arguments, "--yes")
    assert (result.exit_code, said in result.stderr) == (2, True)


def test_cells_and_lines_read_as_people_write():
    assert [cell(each) for each in (None, True, 1.23456, [1, 2], {"a": 1}, AT, "a\nb\x1b[1m")] == [
        "-", "yes", "1.235", "1,2", "a=1", "2026-05-04 12:00:00", "a b [1m",
    ]  # fmt: skip
    told = lines({"name": "x", "inside": {"b": 1}, "many": [{"c": 2}], "text": "a\nb"})
    assert told == ["name:   x", "inside:", "  b: 1", "many:", "  - c=2", "text:", "  a", "  b"]
