"""The console in real Chromium, over a fake gateway: `just test-browser`.

Not collected by `just test`: on a bare machine the browser's package alone takes minutes.
"""

from __future__ import annotations

import asyncio
import socket

import pytest
from playwright.async_api import async_playwright, expect

from deploy.local.chromium import find_or_get
from services.chassis.clock import SystemClock
from services.chassis.http import serve
from services.console.adapters.gateway import Answer, Told
from services.console.routes import application
from tests.fake_gateway import TOKEN, FakeGateway, an_event
from tests.unit.console.door import ASSETS, a_house

expect.set_options(timeout=20_000)  # a machine may be busy
PAGES = ("/", "/environments", "/models", "/nodes", "/deployments", "/scheduling", "/events",
         "/alerts", "/models/mdl-1", "/nodes/nod-1", "/gpus/GPU-0", "/instances/i-1",
         "/accounts", "/keys", "/rules", "/webhooks/whk-1", "/accounts?as_of=50",
         "/models/mdl-2", "/gpus/GPU-1")  # fmt: skip


@pytest.fixture(scope="module")
async def chromium():
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=find_or_get(), args=["--no-sandbox"]
        )
        yield browser
        await browser.close()


@pytest.fixture
async def gateway():
    return FakeGateway()


@pytest.fixture
async def url(gateway):
    with socket.create_server(("127.0.0.1", 0)) as found:
        port = found.getsockname()[1]
    stop = asyncio.Event()
    app = application(a_house(gateway, SystemClock()), ASSETS)
    serving = asyncio.create_task(serve(app, "127.0.0.1", port, stop))
    yield f"http://127.0.0.1:{port}"
    stop.set()
    await serving


@pytest.fixture
def complaints() -> list[str]:
    """What the browser complained of; what is left of it fails the test."""
    return []


@pytest.fixture
async def page(chromium, url, complaints):
    """A page that is logged in."""
    context = await chromium.new_context(viewport={"width": 1280, "height": 900})
    page = await context.new_page()
    page.on(
        "console",
        lambda said: complaints.append(said.text) if said.type in ("error", "warning") else None,
    )
    page.on("pageerror", lambda error: complaints.append(str(error)))
    await page.goto(f"{url}/login")
    await page.click("summary")
    await page.fill("[name=token]", TOKEN)
    await page.click("button.primary")
    await expect(page.locator("#fleet-h")).to_be_visible()
    await page.wait_for_load_state()  # its scripts have run
    yield page
    assert complaints == []
    await context.close()


async def test_every_page_is_drawn_without_a_complaint_at_every_width(page, url):
    for width in (1280, 768, 390):
        await page.set_viewport_size({"width": width, "height": 844})
        for path in PAGES:
            await page.goto(url + path)
            await expect(page.locator("main")).to_be_visible()
            assert await page.evaluate("document.documentElement.scrollWidth") <= width, path


async def test_a_page_goes_on_by_itself_and_shows_events_as_they_come(page, url, gateway):
    gateway.says["/queues"][0]["length"] = 77
    gateway.told.put_nowait(Told(101, an_event(101)))
    await expect(page.locator("#q-mdl-1")).to_contain_text("77")
    await page.goto(f"{url}/events")
    await expect(page.locator("#pulse")).to_have_attribute("data-state", "live")
    await expect(page.locator("#e100")).to_be_visible()
    gateway.told.put_nowait(Told(102, an_event(102)))
    gateway.told.put_nowait(Told(103, an_event(103)))
    await expect(page.locator("#event-rows tr").first).to_have_attribute("id", "e103")


async def test_the_slider_goes_through_the_past_and_back(page, gateway):
    await page.locator("#slider").focus()
    for _ in range(3):
        await page.keyboard.press("ArrowLeft")
    await expect(page.locator(".banner:not(.lost)")).to_contain_text("position 97")
    assert "as_of=97" in page.url
    assert any(sent.get("as_of") == "97" for _, sent in gateway.asked)
    await page.click("text=Back to live")
    await expect(page.locator("#pulse")).to_have_attribute("data-state", "live")


async def test_an_action_is_asked_and_then_done_once(page, url, gateway):
    await page.goto(f"{url}/deployments")
    await page.click("text=Stop")
    await expect(page.locator("#dialog")).to_contain_text("Stop i-1 of llama?")
    await page.keyboard.press("Escape")
    await page.click("text=Stop")
    await page.click("#dialog button.grave")
    await expect(page.locator("[data-done]")).to_contain_text("Asked to stop")
    assert [each[:2] for each in gateway.done] == [("POST", "/nodes/nod-1/models/stop")]


async def test_a_dialog_is_closed_by_a_press_beside_it_and_not_by_a_drag_that_ends_there(page, url):
    await page.goto(f"{url}/deployments")
    await page.click("text=Stop")
    dialog = page.locator("#dialog")
    await expect(dialog).to_contain_text("Stop i-1 of llama?")
    box = await page.locator("#dialog h2").bounding_box()
    await page.mouse.move(box["x"] + 40, box["y"] + 5)
    await page.mouse.down()
    await page.mouse.move(5, 5, steps=4)
    await page.mouse.up()
    await expect(dialog).to_be_visible()
    await page.mouse.click(5, 5)
    await expect(dialog).to_be_hidden()


async def test_the_first_field_with_an_error_is_where_one_goes_on(page, url, gateway, complaints):
    gateway.answers = [Answer(422, errors={"rabbitmq_port": "no broker is there"})]
    await page.goto(f"{url}/models/mdl-1")
    await page.click("text=Change")
    await page.click("#dialog button.primary")
    await expect(page.locator("#dialog [name=rabbitmq_port]")).to_be_focused()
    assert "422" in complaints.pop()


async def test_the_stretch_of_time_is_changed_and_the_rest_stays(page, url):
    await page.goto(f"{url}/events?family=node&telemetry=on")
    await page.select_option("#range", "1h")
    await page.wait_for_url("**/events?*range=1h*")
    assert "family=node" in page.url
    assert "telemetry=on" in page.url
    await page.select_option("select[name=family]", "gpu")
    await page.wait_for_url("**/events?*family=gpu*")
    assert "range=1h" in page.url


async def test_events_of_the_past_are_those_of_then_and_stay_so(page, url, gateway):
    await page.goto(f"{url}/events")
    await expect(page.locator("#e100")).to_be_visible()
    await page.locator("#slider").focus()
    await page.keyboard.press("ArrowLeft")
    await expect(page.locator(".banner:not(.lost)")).to_contain_text("position 99")
    await expect(page.locator("#e100")).to_have_count(0)
    await page.goto(f"{url}/events?before=50")
    await expect(page.locator("#e49")).to_be_visible()
    gateway.says["/status"] = {"head": 101}
    gateway.told.put_nowait(Told(101, an_event(101)))
    await expect(page.locator("#shell")).to_have_attribute("data-head", "101")
    await expect(page.locator("#e101")).to_have_count(0)


async def test_the_keyboard_finds_and_goes_everywhere(page, url):
    await page.keyboard.press("/")
    await page.keyboard.type("llama")
    await expect(page.locator("#hits [aria-selected=true]")).to_contain_text("llama")
    await page.keyboard.press("Enter")
    await expect(page.locator("h1")).to_have_text("llama")
    await page.wait_for_load_state()
    await page.keyboard.press("g")
    await page.keyboard.press("n")
    await expect(page.locator("h1")).to_have_text("Nodes")
    await page.keyboard.press("Control+k")
    await expect(page.locator("#palette-input")).to_be_focused()


async def test_the_theme_is_the_systems_until_it_is_chosen_and_then_kept(page, url):
    ground = "getComputedStyle(document.body).backgroundColor"
    await page.emulate_media(color_scheme="dark")
    dark = await page.evaluate(ground)
    await page.click("[data-theme-switch]")
    light = await page.evaluate(ground)
    assert light != dark
    await page.goto(f"{url}/models")
    assert await page.evaluate(ground) == light


async def test_the_large_chart_is_drawn(page, url):
    await page.goto(f"{url}/models/mdl-1")
    await expect(page.locator("#chart canvas")).to_be_visible()


async def test_a_page_that_takes_long_is_painted_before_it_is_there(page, url, gateway):
    read, ready = gateway.read, asyncio.Event()

    async def slow(*args):
        await ready.wait()
        return await read(*args)

    gateway.read = slow
    await page.goto(url, wait_until="commit")
    await expect(page.locator("#early .side")).to_be_visible()
    ready.set()
    await expect(page.locator("#fleet-h")).to_be_visible()
    await expect(page.locator("#early")).to_have_count(0)
    assert await page.title() == "Dashboard · Quartermaster"


async def test_an_account_is_made_and_closed(page, url, gateway):
    await page.goto(f"{url}/accounts")
    await page.click("text=New account")
    await page.fill("#dialog [name=username]", "eve")
    await page.fill("#dialog [name=password]", "correct horse battery")
    await page.select_option("#dialog [name=role]", "operator")
    await page.click("#dialog button.primary")
    await expect(page.locator("[data-done]")).to_contain_text("Made.")
    await page.click("#acc-acc-2 >> text=Close")
    await expect(page.locator("#dialog")).to_contain_text("Close the account bob?")
    await page.click("#dialog button.grave")
    await expect(page.locator("[data-done]")).to_contain_text("Closed.")
    assert [each[:2] for each in gateway.done] == [
        ("POST", "/auth/register"),
        ("DELETE", "/accounts/acc-2"),
    ]


async def test_a_key_is_shown_once_and_a_message_sent_again(page, url, gateway):
    gateway.answers = [Answer(201, {"id": "key-9", "key": "qmk_once"}, 101)]
    await page.goto(f"{url}/keys")
    await page.click("text=New API key")
    await page.fill("#dialog [name=name]", "ci2")
    await page.check("#dialog [name='permissions.read']")
    await page.click("#dialog button.primary")
    await expect(page.locator("#dialog .secret")).to_have_text("qmk_once")
    await page.mouse.click(5, 5)  # the only copy is not closed by the way
    for key in ("Escape", "Escape", "Control+k"):
        await page.keyboard.press(key)
    await expect(page.locator("#dialog .secret")).to_be_visible()
    await expect(page.locator("#palette")).to_be_hidden()
    await page.click("text=I have kept it")
    await expect(page.locator("#key-1")).to_be_visible()
    assert "qmk_once" not in await page.content()
    await page.goto(f"{url}/webhooks/whk-1")
    await page.click("text=Send again")
    await page.click("#dialog button.primary")
    await expect(page.locator("[data-done]")).to_contain_text("its delivery appears below")
    assert gateway.done[-1][1] == "/webhooks/whk-1/deliveries/msg-1/resend"


async def test_ones_own_password_is_changed_and_a_wrong_one_said_so(page, gateway, complaints):
    await page.click(".who button")  # whoever came with a token has no password
    await page.fill("[name=username]", "ann")
    await page.fill("[name=password]", "right")
    await page.click("button.primary")
    await page.click(".who a.name")
    wrong = Answer(422, errors={"current_password": "it is another one"})
    gateway.answers = [wrong, Answer(200, {"id": "acc-1"}, 101)]
    for known in ("a wrong one", "right"):
        await page.fill("#dialog [name=current_password]", known)
        await page.fill("#dialog [name=password]", "correct horse battery")
        await page.click("#dialog button.primary")
        if known != "right":
            await expect(page.locator("#dialog")).to_contain_text("it is another one")
            assert "422" in complaints.pop()  # an answer that is no success is always told of
    await expect(page.locator("[data-done]")).to_be_visible()
    posted = [each[1] for each in gateway.done if each[0] == "POST"]
    assert posted == ["/auth/password"] * 2
