"""What stays when the time of a page is changed, and how a page goes on from where it was read."""

from __future__ import annotations

import re

import pytest

from services.chassis.errors import Unavailable
from tests.fake_gateway import FakeGateway, an_event
from tests.unit.console.door import logged_in

NARROWED = {
    "/events": {"family": "node", "telemetry": "on"},
    "/scheduling": {"model": "mdl-1"},
    "/deployments": {"node": "nod-1"},
}


def live_of(text: str) -> str:
    return re.search(r'hx-sse:connect="([^"]+)"', text)[1].replace("&amp;", "&")


@pytest.mark.parametrize("path", NARROWED)
async def test_what_a_page_is_narrowed_to_stays_when_its_time_is_changed(path):
    client = await logged_in(FakeGateway())
    asked = NARROWED[path] | {"as_of": "50", "before": "40"}
    text = (await client.get(path, params=asked)).text
    bar = text[text.index('id="timebar"') : text.index("data-live>")]
    kept = re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)">', bar)
    assert dict(kept) == NARROWED[path]
    links = [each.replace("&amp;", "&") for each in re.findall(r'href="([^"]+)"', bar)]
    assert len(links) == 3
    for name, value in NARROWED[path].items():
        assert all(f"{name}={value}" in each for each in links)


@pytest.mark.parametrize("path", ["/events", "/scheduling"])
async def test_what_is_chosen_on_a_page_keeps_its_time(path):
    client = await logged_in(FakeGateway())
    text = (await client.get(path, params={"range": "1h", "as_of": "50"})).text
    form = text[text.index('<form class="inline"') :]
    kept = re.findall(r'type="hidden" name="(\w+)" value="([^"]*)"', form[: form.index("</form>")])
    assert dict(kept) == {"as_of": "50", "range": "1h"}


async def test_what_comes_after_the_events_that_are_shown_follows_without_a_hole():
    gateway = FakeGateway()
    client = await logged_in(gateway)
    text = (await client.get("/events?family=node&telemetry=on")).text
    assert re.search(r'<tr id="e(\d+)"', text)[1] == "100"
    assert live_of(text) == "/live?rows=on&after=100&family=node&telemetry=on"
    assert 'id="event-rows" hx-morph-skip' in text


async def test_the_events_page_of_a_rare_family_does_not_follow_the_whole_log():
    gateway = FakeGateway()
    gateway.says["/events"][4] = an_event(5, type="silence.created", stream="silence/s-1")
    client = await logged_in(gateway)
    text = (await client.get("/events?family=silence")).text
    assert re.findall(r'<tr id="e(\d+)"', text) == ["5"]
    assert "after=100" in live_of(text)


@pytest.mark.parametrize(
    ("asked", "headers", "begun"),
    [
        ("/live?rows=on&after=100", {}, 100),
        ("/live?rows=on&after=100", {"last-event-id": "120"}, 120),
        ("/live?rows=on&after=x", {}, None),
        ("/live", {}, None),
    ],
)
async def test_a_stream_begins_where_it_ended_or_else_where_the_page_ended(asked, headers, begun):
    gateway = FakeGateway()
    client = await logged_in(gateway)

    async def ended():
        raise Unavailable("the gateway's live stream ended")

    gateway.told.get = ended
    assert "event: lost" in (await client.get(asked, headers=headers)).text
    assert gateway.begun == [begun]


async def test_new_events_are_not_put_on_top_of_earlier_ones():
    client = await logged_in(FakeGateway())
    for path in ("/events?before=50", "/events?as_of=50"):
        text = (await client.get(path)).text
        assert re.search(r'<tr id="e(\d+)"', text)[1] in ("49", "50")
        assert "rows=on" not in text
        assert "event-rows" not in text
    assert "hx-morph-skip" in (await client.get("/events?before=x")).text
