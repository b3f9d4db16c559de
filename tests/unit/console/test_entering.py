"""Coming in, being renewed and going out: what the gateway is told, and what the cookie keeps."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from services.chassis.addresses import Proxies
from services.chassis.errors import Unavailable
from services.chassis.targets import AllowList
from services.console.adapters.gateway import Answer
from services.console.routes.sessions import COOKIE
from services.console.settings import Settings
from tests.fake_gateway import TOKEN, FakeGateway
from tests.unit.console.door import Noon, browser, logged_in

ANN = {"username": "ann", "password": "right"}
NEARLY_OVER, OVER = timedelta(minutes=59), timedelta(hours=2)


async def ann(gateway: FakeGateway, clock: Noon):
    client = browser(gateway, clock)
    assert (await client.post("/login", data=ANN)).status_code == 303
    return client


def house_of(client):
    return client._transport.app.state.house


def session_of(client):
    house = house_of(client)
    return house.sessions.open(client.cookies[COOKIE], house.clock.now())


async def silent(*args):
    raise Unavailable("the gateway does not answer")


async def test_whoever_logs_out_is_out_here_though_the_gateway_does_not_answer():
    gateway = FakeGateway()
    client = await ann(gateway, Noon())
    gateway.logout = silent
    answer = await client.post("/logout")
    assert (answer.status_code, answer.headers["location"]) == (303, "/login")
    assert COOKIE not in client.cookies


async def test_a_session_whose_token_ran_out_is_renewed_to_be_ended_at_the_gateway():
    clock, gateway = Noon(), FakeGateway()
    client = await ann(gateway, clock)
    clock.at += OVER
    await client.post("/logout")
    assert [each[0] for each in gateway.done] == ["REFRESH", "LOGOUT"]
    assert COOKIE not in client.cookies


async def test_a_session_that_the_gateway_takes_for_stale_is_renewed_to_be_ended():
    gateway = FakeGateway()
    client = await ann(gateway, Noon())
    gateway.refusals = [Answer(401, detail="no")]
    await client.post("/logout")
    assert [each[0] for each in gateway.done] == ["LOGOUT", "REFRESH", "LOGOUT"]


async def test_an_api_token_has_no_session_at_the_gateway_to_be_ended():
    gateway = FakeGateway()
    client = await logged_in(gateway)
    await client.post("/logout")
    assert gateway.done == []
    assert COOKIE not in client.cookies


async def test_whoever_lost_a_role_sees_its_buttons_no_more_once_tokens_are_renewed():
    clock, gateway = Noon(), FakeGateway()
    client = await ann(gateway, clock)
    assert 'href="/accounts"' in (await client.get("/keys")).text
    gateway.role, gateway.permissions = "viewer", ["read"]
    clock.at += NEARLY_OVER
    assert 'href="/accounts"' not in (await client.get("/keys")).text
    assert (session_of(client).role, session_of(client).permissions) == ("viewer", ("read",))


async def test_new_tokens_are_kept_though_the_gateway_does_not_say_whose_they_are():
    clock, gateway = Noon(), FakeGateway()
    client = await ann(gateway, clock)
    gateway.me = silent
    clock.at += NEARLY_OVER
    assert (await client.get("/keys")).status_code == 200
    assert (session_of(client).refresh, session_of(client).role) == ("r2", "admin")


@pytest.mark.parametrize(
    ("path", "status"), [("/models/mdl-9", 404), ("/models/a%0Ab", 422), ("/models", 503)]
)
async def test_new_tokens_are_kept_when_the_page_that_got_them_says_what_went_wrong(path, status):
    clock, gateway = Noon(), FakeGateway()
    client = await ann(gateway, clock)
    clock.at += NEARLY_OVER
    if status == 503:
        gateway.read = silent
    assert (await client.get(path)).status_code == status
    assert session_of(client).refresh == "r2"


async def test_a_session_that_ends_as_it_is_renewed_is_forgotten():
    clock, gateway = Noon(), FakeGateway()
    client = await ann(gateway, clock)
    clock.at += NEARLY_OVER
    gateway.is_known = False
    assert (await client.get("/models")).status_code == 303
    assert COOKIE not in client.cookies


@pytest.mark.parametrize("token", ["schl\N{LATIN SMALL LETTER U WITH DIAERESIS}ssel", "two\nlines"])
async def test_what_cannot_be_a_token_is_refused_at_its_field(token):
    answer = await browser(FakeGateway()).post("/login", data={"token": token})
    assert answer.status_code == 401
    assert "was all of it copied?" in answer.text
    assert 'name="token" type="password" autocomplete="off" aria-invalid="true"' in answer.text


@pytest.mark.parametrize("form", [ANN, {"token": TOKEN}])
async def test_a_gateway_in_trouble_is_not_taken_for_a_wrong_password_or_token(form):
    gateway = FakeGateway()
    gateway.refusals = [Answer(503, detail="the database does not answer")]
    answer = await browser(gateway).post("/login", data=form)
    assert answer.status_code == 503
    assert "the database does not answer" in answer.text
    assert "does not know" not in answer.text


async def test_whoever_tried_too_often_is_told_so():
    gateway = FakeGateway()
    gateway.refusals = [Answer(429, detail="again in 30 s")]
    answer = await browser(gateway).post("/login", data=ANN)
    assert (answer.status_code, "again in 30 s" in answer.text) == (429, True)


async def test_a_form_with_too_many_fields_is_refused():
    data = {f"field-{n}": "x" for n in range(300)}
    assert (await browser(FakeGateway()).post("/login", data=data)).status_code == 422


@pytest.mark.parametrize(
    ("trusted", "said", "told"),
    [
        ((), "198.51.100.1", "127.0.0.1"),
        (("127.0.0.0/8",), "198.51.100.1", "198.51.100.1"),
        (("127.0.0.0/8",), "6.6.6.6, 198.51.100.1", "198.51.100.1"),
        (("127.0.0.0/8",), "2001:db8:1:2:3::4%eth\u00f6", "2001:db8:1:2:3::4"),
        (("127.0.0.0/8",), "n\u00f6 address", "127.0.0.1"),
    ],
)
async def test_the_gateway_is_told_who_logs_in_and_not_the_proxy_that_we_trust(trusted, said, told):
    gateway = FakeGateway()
    client = browser(gateway)
    app = client._transport.app
    app.state.house = replace(house_of(client), proxies=Proxies(AllowList(trusted)))
    headers = {"x-forwarded-for": said.encode("latin-1")}
    await client.post("/login", data=ANN, headers=headers)
    assert gateway.addresses == [told]


def test_proxies_are_named_by_their_networks_and_none_is_trusted_unless_it_is(monkeypatch):
    assert Settings(_env_file=None).trusted_proxies == ()
    monkeypatch.setenv("QM_TRUSTED_PROXIES", "10.0.0.0/8, fd00::/8")
    assert Settings(_env_file=None).trusted_proxies == ("10.0.0.0/8", "fd00::/8")
    monkeypatch.setenv("QM_TRUSTED_PROXIES", "proxy.example")
    with pytest.raises(ValueError, match="trusted_proxies"):
        Settings(_env_file=None)
