"""A page that takes long begins with its frame, and ends as it would have without."""

from __future__ import annotations

import re
from datetime import timedelta

import pytest

from services.chassis.errors import Unavailable
from services.console.routes import early
from tests.fake_gateway import FakeGateway
from tests.unit.console.door import logged_in

OPENED = {"sec-fetch-dest": "document"}


@pytest.fixture(autouse=True)
def _nothing_is_ready_at_once(monkeypatch):
    monkeypatch.setattr(early, "PATIENCE_S", 0)


@pytest.mark.parametrize("path", ["/", "/models/mdl-1", "/events", "/accounts", "/nodes?as_of=50"])
async def test_a_page_that_takes_long_begins_with_its_frame_and_is_whole_in_the_end(path):
    client = await logged_in(FakeGateway())
    text = (await client.get(path, headers=OPENED)).text
    assert text.index('id="early"') < text.index('id="shell"')
    assert [text.count(each) for each in ("<!doctype", "<body>", "<title>", "</body>")] == [1] * 4
    assert not re.search(r"<script(?![^>]* src=)|<style|\sstyle=", text)
    scripts = re.findall(r'<script[^>]* src="([^"]+)"', text)
    assert len(scripts) == len(set(scripts))


async def test_only_a_browser_that_opens_a_page_is_answered_early():
    client = await logged_in(FakeGateway())
    for headers in ({}, {"hx-request": "true"}, {**OPENED, "accept-encoding": "identity"}):
        assert 'id="early"' not in (await client.get("/", headers=headers)).text


async def test_what_went_wrong_meanwhile_is_shown_with_what_to_do():
    gateway = FakeGateway()
    client = await logged_in(gateway)

    async def silent(*args):
        raise Unavailable("the gateway does not answer")

    gateway.read = silent
    assert "Check that the gateway runs" in (await client.get("/", headers=OPENED)).text


async def test_a_session_that_ended_meanwhile_leads_to_the_door():
    gateway = FakeGateway()
    client = await logged_in(gateway)
    gateway.is_known = False
    text = (await client.get("/models?range=1h&as_of=5", headers=OPENED)).text
    assert 'content="0;url=/login?next=/models%3Frange%3D1h%26as_of%3D5"' in text


async def test_a_session_that_is_renewed_waits_for_its_cookie():
    gateway = FakeGateway()
    client = await logged_in(gateway)
    await client.post("/login", data={"username": "ann", "password": "right"})
    client._transport.app.state.house.clock.at += timedelta(minutes=59)
    answer = await client.get("/environments", headers=OPENED)
    assert 'id="early"' not in answer.text
    assert "set-cookie" in answer.headers
