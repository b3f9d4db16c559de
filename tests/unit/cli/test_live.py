"""`events`, `logs`, `top`, `parked`: what goes on, followed, and come back to."""

from __future__ import annotations

from io import StringIO

import httpx2
import orjson
import pytest
from rich.console import Console

from services.cli.adapters import checkout
from services.cli.commands import events, top
from tests.unit.cli.fake_gateway import AT, URL, FakeGateway, enveloped, refused, run

NODE = {
    "name": "gpu-01", "node_id": "nod-1", "status": "online",
    "gpus": [
        {"index": 0, "state": "allocated", "utilization_percent": 87.5, "memory_mb": 80_000,
         "memory_used_mb": 60_000, "instance": {"model_name": "llama", "instance_id": "i-1"}},
        {"index": 1, "state": "free", "instance": None},
    ],
}  # fmt: skip
QUEUE = {
    "model_name": "llama",
    "length": 12,
    "mean_length_5m": 9.5,
    "consumers": 1,
    "reachable": True,
}
PARKED = {
    "id": "5d41402abc4b2a76", "reason": "not_allowed", "detail": "gateway may not", "proposer": "gateway",
    "parked_at": AT, "bytes": 9, "events": 1, "types": ["a.b"], "streams": ["a/1"],
}  # fmt: skip


def an_event(position, type_="node.went_offline"):
    meta = {"actor": "node_monitor"}
    return {
        "position": position,
        "type": type_,
        "stream": "node/n",
        "data": {},
        "meta": meta,
        "recorded_at": AT,
    }


def sse(*positions, comment=None):
    told = [
        f"id: {each}\nevent: x\ndata: {orjson.dumps(an_event(each)).decode()}\n\n"
        for each in positions
    ]
    told += [f": still here\nid: {comment}\n\n"] if comment else []
    return httpx2.Response(200, text="".join(told), headers={"content-type": "text/event-stream"})


@pytest.fixture
def fake(monkeypatch):
    monkeypatch.setattr(events, "AGAIN_S", 0.0)
    return FakeGateway()


@pytest.fixture
def ask(fake, tmp_path):
    return lambda *arguments, **more: run(fake, *arguments, place=tmp_path, **more)


def test_a_lost_connection_goes_on_at_the_very_next_event(ask, fake):
    streams = iter([sse(5, 6, comment=9), refused(503, "restarting"), sse(10)])
    fake.answers["/events"] = lambda _: next(streams)
    result = ask("events", "-f", "--after", "4", "-t", "node.*", "-n", "3", "-o", "json")
    assert result.exit_code == 0, result.output
    assert [orjson.loads(line)["position"] for line in result.stdout.splitlines()] == [5, 6, 10]
    assert [each.headers["last-event-id"] for each in fake.asked] == ["4", "9", "9"]
    assert fake.asked[0].url.params["type"] == "node.*"
    assert "coming again: 503: restarting" in result.stderr


def test_a_wrong_type_ends_the_following(ask, fake):
    fake.answers["/events"] = refused(422, "no event type is cat")
    assert ask("events", "-f", "-t", "cat").exit_code == 2


def test_without_a_position_the_newest_are_looked_for_ever_further_back(ask, fake):
    def page(request):
        after = int(request.url.params["after"])
        found = [an_event(position) for position in (3, 30, 40) if position > after]
        return enveloped({"items": found, "next_cursor": None})

    fake.answers["/events"] = page
    said = ask("events", "-n", "2", "-t", "node.*").stdout.splitlines()
    assert [line.split()[0] for line in said] == ["30", "40"]
    assert [each.url.params.get("after") for each in fake.asked[1:]] == ["41", "27"]
    assert "node_monitor  node/n  node.went_offline  {}" in said[0]


def test_pages_behind_a_position_follow_each_other(ask, fake):
    def page(request):
        is_second = "cursor" in request.url.params
        more = None if is_second else "next"
        return enveloped({"items": [an_event(6 if is_second else 5)], "next_cursor": more})

    fake.answers["/events"] = page
    assert len(ask("events", "--after", "4").stdout.splitlines()) == 2


def test_logs_come_as_they_are_written(ask, fake):
    fake.answers["/instances/i-1/logs"] = httpx2.Response(200, content=b"one\ntwo\n")
    result = ask("logs", "i-1", "-f", "-n", "5")
    assert result.stdout == "one\ntwo\n"
    assert dict(fake.asked[0].url.params) == {"tail": "5", "follow": "true"}
    fake.answers["/instances/i-1/logs"] = refused(403, "the permission operate is needed")
    result = ask("logs", "i-1")
    assert (result.exit_code, result.stderr) == (4, "403: the permission operate is needed")


@pytest.fixture
def fleet(fake):
    for path, items in (("/deployments/status", [NODE]), ("/queues", [QUEUE]), ("/alerts", [])):
        fake.answers[path] = {"items": items, "next_cursor": None}


def test_the_top_is_one_look_off_a_terminal(ask, fleet):
    said = ask("top").stdout.splitlines()
    assert said[0] == "1 of 1 nodes online; GPUs: 1 allocated, 1 free; 12 messages wait"
    assert said[2].split("\t") == [
        "gpu-01",
        "0",
        "allocated",
        "87.5",
        "60000/80000",
        "llama",
        "i-1",
    ]
    assert said[-1].split("\t") == ["llama", "12", "9.5", "1", "yes"]
    assert orjson.loads(ask("top", "-o", "json").stdout)["queues"] == [QUEUE]


def test_on_a_terminal_what_works_comes_first_and_the_rest_is_counted(fleet, fake):
    out = StringIO()
    console = Console(file=out, force_terminal=True, width=100, color_system=None)
    alert = {"summary": "[red] is no markup"}
    free = [{"index": number, "state": "free", "instance": None} for number in range(2, 40)]
    node = {**NODE, "gpus": [*free, *NODE["gpus"]]}
    console.print(top._drawn({"nodes": [node], "queues": [QUEUE], "alerts": [alert]}, 24))
    said = out.getvalue()
    assert "|||||||||.  88" in said.splitlines()[4]
    assert "... and 25 more GPUs" in said
    assert "alert: [red] is no markup" in said
    assert len(said.splitlines()) <= 24


def test_what_is_parked_is_listed_and_shown(ask, fake):
    fake.answers["/parked"] = {"items": [PARKED]}
    assert PARKED["id"] in ask("parked", "list").stdout
    fake.answers[f"/parked/{PARKED['id']}"] = {
        **PARKED,
        "proposals": None,
        "text": "\N{REPLACEMENT CHARACTER}no",
    }
    assert ask("parked", "show", PARKED["id"]).stdout.endswith("\N{REPLACEMENT CHARACTER}no\n")
    fake.answers["/parked"] = {"items": []}
    assert ask("parked", "list").stderr == "nothing is parked\n"


def test_what_is_parked_is_settled_after_a_yes(ask, fake):
    path = f"/parked/{PARKED['id']}"
    fake.answers[f"POST {path}/retry"] = {**PARKED, "results": [{"positions": [7, 8]}]}
    fake.answers[f"POST {path}/drop"] = PARKED
    assert ask("parked", "retry", PARKED["id"]).exit_code == 2
    assert fake.commands() == []
    assert (
        ask("parked", "retry", PARKED["id"], "-y").stdout == f"{PARKED['id']} is recorded at 7,8\n"
    )
    assert "is dropped" in ask("parked", "drop", PARKED["id"], "-y", "--because", "noise").stdout
    assert fake.commands()[-1] == ("POST", f"{path}/drop", {"because": "noise"})
    fake.answers[f"POST {path}/retry"] = refused(409, "it is refused again and stays parked: why")
    assert ask("parked", "retry", PARKED["id"], "-y").exit_code == 1


def test_the_platform_is_started_from_a_checkout_only(ask, monkeypatch):
    became = []
    monkeypatch.setattr(checkout.os, "execve", lambda *told: became.append(told))
    ask("up", "--state", "/somewhere")
    (_, arguments, environment) = became[0]
    assert arguments[1:] == ["-m", "deploy.local.up"]
    assert environment["QM_STATE"] == "/somewhere"
    monkeypatch.setattr(checkout.importlib.util, "find_spec", lambda _: None)
    result = ask("up")
    assert (result.exit_code, len(became)) == (2, 1)
    assert "quartermaster login --url URL" in result.stderr


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_every_shell_is_given_its_script(ask, shell):
    assert "_QUARTERMASTER_COMPLETE" in ask("completion", shell).stdout


def test_a_shell_completes_kinds_and_names(ask, fake):
    fake.made("models", name="llama")
    words = {"COMP_WORDS": "root get mo", "COMP_CWORD": "2", "_ROOT_COMPLETE": "complete_bash"}
    assert ask(environment=words).stdout.split() == ["models"]
    words |= {"COMP_WORDS": "root describe models l", "COMP_CWORD": "3"}
    assert ask(environment=words).stdout.split() == ["llama"]
    fake.token = "another"
    assert ask(environment=words).stdout.strip() == ""


@pytest.mark.parametrize(
    ("status", "exit_code"),
    [(401, 4), (403, 4), (404, 1), (409, 1), (412, 1), (422, 2), (429, 3), (500, 3), (503, 3)],
)
def test_an_exit_code_says_whose_fault_it_is(ask, fake, status, exit_code):
    fake.answers["/queues"] = refused(status, "no")
    assert ask("get", "queues").exit_code == exit_code


def test_what_does_not_answer_is_told_with_what_to_do(ask, tmp_path):
    def gone(_):
        raise httpx2.ConnectError("refused")

    result = run(gone, "get", "nodes", place=tmp_path)
    assert result.exit_code == 3
    assert f"the gateway at {URL} does not answer: refused; start the platform" in result.stderr


def test_what_is_no_gateway_is_said_to_be_none(tmp_path):
    result = run(lambda _: httpx2.Response(200, text="<html>"), "get", "nodes", place=tmp_path)
    assert (result.exit_code, result.stderr) == (3, f"what answers at {URL} is not a gateway")
