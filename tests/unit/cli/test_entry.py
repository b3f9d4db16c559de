"""Logging in: what is kept, who may read it, where it is shown and where it is not."""

from __future__ import annotations

import httpx2
import orjson
import pytest

from services.cli.adapters.entry import Entry, NotAllowed
from services.cli.adapters.keeping import Logins
from tests.unit.cli.fake_gateway import URL, FakeGateway, enveloped, refused, run

ME = {"kind": "account", "id": "acc-1", "username": "ada", "role": "admin", "permissions": ["read"]}


class Door(FakeGateway):
    """Gives tokens by numbers; a refresh token is good once."""

    number = 1
    ended = 0

    def __call__(self, request):
        path = request.url.path
        if path == "/auth/jwt/login":
            is_right = orjson.loads(request.content)["password"] == "right"
            return self._given() if is_right else refused(401, "no")
        if path == "/auth/jwt/refresh":
            sent = orjson.loads(request.content)["refresh_token"]
            self.number += 1
            return self._given() if sent == f"refresh-{self.number - 1}" else refused(401, "no")
        if path == "/auth/jwt/logout":
            self.ended += 1
            return httpx2.Response(204)
        self.asked.append(request)
        if request.headers["authorization"] not in (f"Bearer access-{self.number}", "Bearer key"):
            return refused(401, "it has run out")
        return (
            httpx2.Response(200, json=ME)
            if path == "/auth/me"
            else enveloped({"items": [], "next_cursor": None})
        )

    def _given(self):
        given = {"access_token": f"access-{self.number}", "refresh_token": f"refresh-{self.number}"}
        return httpx2.Response(200, json=given)


@pytest.fixture
def door():
    return Door()


@pytest.fixture
def quartermaster(door, tmp_path):
    def quartermaster(*arguments, **more):
        return run(door, *arguments, place=tmp_path, **{"url": None, "token": None, **more})

    return quartermaster


@pytest.fixture
def logged_in(quartermaster):
    result = quartermaster("login", "-u", "ada", "--url", URL, "--password-stdin", typed="right\n")
    assert result.exit_code == 0, result.output
    assert result.stdout == f"logged in at {URL} as ada (admin)\n"


def test_what_is_kept_is_for_its_owner_alone(logged_in, tmp_path):
    file = Logins(tmp_path).file
    assert file.stat().st_mode & 0o777 == 0o600
    assert b"right" not in file.read_bytes()
    assert [each.name for each in tmp_path.iterdir() if each.name.startswith(".")] == []


def test_a_wrong_password_is_exit_code_4_and_keeps_nothing(quartermaster, tmp_path):
    result = quartermaster("login", "-u", "ada", "--url", URL, "--password-stdin", typed="wrong\n")
    assert result.exit_code == 4
    assert "does not let ada in" in result.stderr
    assert not Logins(tmp_path).file.exists()


def test_without_a_login_it_says_what_to_do(quartermaster):
    result = quartermaster("get", "nodes")
    assert result.exit_code == 4
    assert "quartermaster login --url http://127.0.0.1:8000" in result.stderr
    assert "QM_TOKEN" in result.stderr


def test_a_token_that_has_run_out_is_renewed_once_and_kept(
    logged_in, quartermaster, door, tmp_path
):
    door.number = 1
    door.things = {}
    Logins(tmp_path)  # the first access token is refused from here on
    with Logins(tmp_path).changing() as kept:
        kept.logins["default"] = type(kept.logins["default"])(URL, "old", "refresh-1", "ada")
    assert quartermaster("get", "nodes").exit_code == 0
    assert door.number == 2
    assert Logins(tmp_path).read().logins["default"].refresh == "refresh-2"
    assert quartermaster("whoami").stdout.splitlines()[0].split() == ["gateway:", URL]


def test_of_two_commands_only_one_renews(logged_in, door, tmp_path):
    transport = httpx2.MockTransport(door)
    first, second = (Entry(Logins(tmp_path), transport=transport) for _ in range(2))
    assert first.renewed()
    assert second.renewed()
    assert first.token == second.token == "access-2"


def test_what_cannot_be_renewed_is_exit_code_4(logged_in, quartermaster, door):
    door.number = 7
    result = quartermaster("get", "nodes")
    assert result.exit_code == 4
    assert "log in with `quartermaster login`" in result.stderr


def test_a_kept_token_goes_to_no_other_gateway(logged_in, door, tmp_path):
    elsewhere = Entry(Logins(tmp_path), url="http://elsewhere")
    with pytest.raises(NotAllowed, match="http://elsewhere"):
        _ = elsewhere.token
    assert not elsewhere.renewed()
    assert Entry(Logins(tmp_path), url=f"{URL}/").token == "access-1"


def test_a_token_of_the_environment_wins_and_is_never_renewed_or_kept(logged_in, tmp_path):
    given = Entry(Logins(tmp_path), token="given")
    assert (given.token, given.url) == ("given", URL)
    assert not given.renewed()
    assert Logins(tmp_path).read().logins["default"].access == "access-1"


def test_contexts_are_named_switched_and_chosen_for_one_command(logged_in, quartermaster, tmp_path):
    result = quartermaster(
        "login", "--url", "http://lab", "--token-stdin", "--context", "lab", typed="key\n"
    )
    assert result.stdout == "logged in at http://lab as ada (admin)\n"
    assert quartermaster("context").stdout.splitlines()[1:] == [
        f"\tdefault\t{URL}\tada",
        "*\tlab\thttp://lab\tada",
    ]
    assert Entry(Logins(tmp_path), context="default").url == URL
    assert quartermaster("context", "default").exit_code == 0
    assert Logins(tmp_path).read().current == "default"
    assert quartermaster("context", "none").exit_code == 1
    assert quartermaster("get", "nodes", context="none").exit_code == 2


def test_an_empty_token_is_refused_and_what_is_kept_stays(logged_in, quartermaster, tmp_path):
    before = Logins(tmp_path).read()
    result = quartermaster("login", "--token-stdin", typed="\n")
    assert (result.exit_code, Logins(tmp_path).read()) == (2, before)
    assert "no token came on standard input" in result.stderr


@pytest.mark.parametrize("url", ["http://localhost:notaport", "localhost:8000", "http://"])
def test_an_address_that_cannot_be_is_said_in_a_line(quartermaster, url):
    result = quartermaster("status", url=url, token="t")
    assert result.exit_code == 2
    assert "is no address of a gateway" in result.stderr


def test_a_token_that_no_header_carries_is_said_in_a_line(quartermaster):
    result = quartermaster("status", url=URL, token="abc\u2026")
    assert result.exit_code == 2
    assert "the token has characters that no token has" in result.stderr


def test_an_unknown_context_says_how_it_is_made(quartermaster):
    result = quartermaster("context", "lab")
    assert "quartermaster login --url URL --context lab" in result.stderr


def test_a_token_that_opens_nothing_is_not_kept(quartermaster, tmp_path):
    result = quartermaster("login", "--url", URL, "--token-stdin", typed="wrong\n")
    assert result.exit_code == 4
    assert not Logins(tmp_path).file.exists()


def test_logging_out_ends_the_session_there_and_forgets_it_here(
    logged_in, quartermaster, door, tmp_path
):
    assert quartermaster("logout").stdout == f"logged out at {URL}\n"
    assert door.ended == 1
    assert Logins(tmp_path).read().logins == {}
    assert quartermaster("logout").exit_code == 1


def test_a_file_that_is_not_ours_is_said_to_be_so(quartermaster, tmp_path):
    Logins(tmp_path).file.write_text("[]")
    result = quartermaster("whoami")
    assert result.exit_code == 2
    assert "remove it and log in again" in result.stderr
