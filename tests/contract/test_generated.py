"""What is generated is what is committed, and a break against a release does not pass."""

import json

import pytest

from contracts.catalogue import CATALOGUE
from deploy import contracts as made


def test_schemas_and_documents_are_as_committed():
    assert list(made._stale()) == []


def test_no_event_is_without_its_sample():
    assert list(made._missing_samples()) == []


def test_nothing_breaks_what_was_released():
    assert list(made._broken()) == []


def test_a_break_against_the_release_is_told(monkeypatch):
    name = "queue.sampled.v1.json"
    old = json.loads((made.SCHEMAS / name).read_text())
    old["properties"]["depth"] = {"type": "integer"}
    monkeypatch.setattr(made, "released", lambda: {name: old, "gone.away.v1.json": {}})
    assert list(made._broken()) == [
        f"{name}: depth was removed; a break is a new version and an upcaster",
        "gone.away.v1.json was released and is gone",
    ]


def test_a_changed_schema_is_stale(monkeypatch):
    path = made.SCHEMAS / "queue.sampled.v1.json"
    monkeypatch.setattr(made, "generated", lambda: {path: "{}\n"})
    problems = list(made._stale())
    assert "contracts/schemas/queue.sampled.v1.json is not what the code says" in problems[0]
    assert len(problems) == len(list(made.SCHEMAS.glob("*.json")))


def test_without_git_nothing_is_compared_and_it_is_said(monkeypatch, capsys):
    def no_git(*_arguments, **_options):
        raise FileNotFoundError

    monkeypatch.setattr(made.subprocess, "run", no_git)
    assert made.released() == {}
    assert "compared with no release" in capsys.readouterr().err


def test_a_sample_that_is_there_is_never_written_again(monkeypatch, tmp_path):
    monkeypatch.setattr(made, "CONTRACTS", tmp_path)
    monkeypatch.setattr(made, "SAMPLES", tmp_path)
    monkeypatch.setattr(made, "generated", dict)
    kept = tmp_path / "queue.sampled.v1.json"
    kept.write_text("kept")
    written = made.write()
    assert kept.read_text() == "kept"
    assert len(written) == len(CATALOGUE) - 1
    assert made.write() == []


def test_the_channels_carry_every_event_by_its_schema():
    document = made.asyncapi()
    for channel in ("qm.proposed", "qm.recorded"):
        carried = document["channels"][channel]["messages"]
        assert set(carried) == {entry.event.type for entry in CATALOGUE.values()}
    for name in document["channels"]["qm.recorded"]["messages"]:
        reference = document["components"]["messages"][name]["payload"]["schema"]["$ref"]
        assert (made.CONTRACTS / reference).exists()


@pytest.mark.parametrize(("arguments", "code"), [(["nonsense"], 2), ([], 2)])
def test_another_word_than_write_or_check_is_explained(arguments, code, capsys):
    assert made.main(arguments) == code
    assert "usage" in capsys.readouterr().err
