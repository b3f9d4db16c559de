"""The load: the real trace where it is, the generated one else, six models always."""

from pathlib import Path

import pytest

from deploy.demo import load, trace
from deploy.demo.arguments import GENERATED, Arguments
from deploy.demo.load import Load, source_of
from deploy.demo.messages import Result

ROWS = 8


def _folder(tmp_path: Path) -> Path:
    header = "gmt_create,predict_status,exec_time_seconds,checkpoint_model_version_id\n"
    rows = [f"2024-11-29 00:00:{n:02},SUCCEED,{n + 1}.0,M{n % 7}\n" for n in range(ROWS)]
    (tmp_path / trace.FILE).write_text(header + "".join(rows))
    return tmp_path


def test_a_named_folder_is_read(tmp_path: Path) -> None:
    source = source_of(Arguments(requests=2, trace=str(_folder(tmp_path))))
    assert source.name == tmp_path.name
    assert len(source.window) == 2
    assert len(source.models) == trace.MODELS


def test_a_default_trace_that_is_not_there_is_replaced_by_the_generated_load(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(load, "ROOT", tmp_path / "project")
    assert source_of(Arguments(requests=5)).name == "generated, seed 7"


def test_no_number_of_requests_means_no_end() -> None:
    source = source_of(Arguments(requests=0, trace=GENERATED))
    assert source.endless
    assert len(source.window) == load.ENDLESS_WINDOW


def test_a_load_is_done_when_all_is_published_and_served() -> None:
    run = Load(source_of(Arguments(requests=1, trace=GENERATED)), "", 60.0)
    request = run.source.window[0]
    run.publisher.published[request.id] = request.model
    assert not run.done
    run.all_published = True
    assert run.unserved() == [request.id]
    run.collector.take(Result(request.id, request.model, "i-1", 10.0, 10.5))
    assert run.done
    assert run.by_model()[request.model].wait_p50_s == 30.0
    progress = run.progress(0.0, "http://gateway", ["a note"])
    assert (progress.wanted, progress.served, progress.notes) == (1, 1, ("a note",))
