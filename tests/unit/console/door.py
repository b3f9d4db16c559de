"""The console in this process over ASGI, over a fake gateway, at noon."""

from __future__ import annotations

from pathlib import Path

import httpx2

from services.console import service
from services.console.adapters.gateway import Caller
from services.console.routes import application
from services.console.routes.assets import Assets
from services.console.routes.rendering import Pages
from services.console.routes.sessions import Sessions
from services.console.routes.visiting import House
from tests.fake_gateway import NOON, TOKEN, FakeGateway

HERE = Path(service.__file__).parent
ASSETS = Assets(HERE / "static")
PAGES = Pages(HERE / "templates", ASSETS, "Quartermaster")
OURS = {"sec-fetch-site": "same-origin"}


class Noon:
    """A clock that stands; sleeping takes no time."""

    def __init__(self) -> None:
        self.at = NOON

    def now(self):
        return self.at

    def monotonic(self) -> float:
        return 0.0

    async def sleep(self, seconds: float) -> None:
        """Return at once."""


def a_house(gateway: FakeGateway, clock=None) -> House:
    return House(
        gateway=gateway,
        pages=PAGES,
        sessions=Sessions("k" * 32, is_secure=False, hours=12),
        clock=clock or Noon(),
        caller=Caller,
        project="Quartermaster",
    )


def browser(gateway: FakeGateway, clock=None) -> httpx2.AsyncClient:
    app = application(a_house(gateway, clock), ASSETS)
    transport = httpx2.ASGITransport(app=app, raise_app_exceptions=False)
    return httpx2.AsyncClient(transport=transport, base_url="http://console", headers=OURS)


async def logged_in(gateway: FakeGateway, clock=None) -> httpx2.AsyncClient:
    client = browser(gateway, clock)
    answer = await client.post("/login", data={"token": TOKEN})
    assert answer.status_code == 303, answer.text
    return client
