"""The console, wired: pages over the gateway's HTTP API, with no bus and no database."""

from __future__ import annotations

from pathlib import Path

from services.chassis.addresses import Proxies
from services.chassis.http import serve
from services.chassis.ids import token
from services.chassis.run import Context, run
from services.chassis.targets import AllowList
from services.console.adapters.gateway import Caller, Gateway
from services.console.routes import application
from services.console.routes.assets import Assets
from services.console.routes.rendering import Pages
from services.console.routes.sessions import Sessions
from services.console.routes.visiting import House
from services.console.settings import Settings

SERVICE = "console"
HERE = Path(__file__).parent


async def main(context: Context) -> None:
    """Serve pages until told to stop."""
    settings = Settings()
    gateway = Gateway(settings.gateway_url, settings.api_v1_str)
    assets = Assets(HERE / "static")
    key = settings.console_key.get_secret_value() if settings.console_key else token(32)
    house = House(
        gateway=gateway,
        pages=Pages(HERE / "templates", assets, settings.project_name),
        sessions=Sessions(key, is_secure=settings.console_secure, hours=settings.console_hours),
        clock=context.clock,
        caller=Caller,
        project=settings.project_name,
        proxies=Proxies(AllowList(settings.trusted_proxies)),
    )
    try:
        context.log.info("listening", host=settings.console_host, port=settings.console_port)
        app = application(house, assets)
        await serve(app, settings.console_host, settings.console_port, context.stop)
    finally:
        await gateway.close()


def start() -> int:
    """Run the console in this process."""
    return run(SERVICE, main)
