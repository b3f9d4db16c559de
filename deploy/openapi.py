"""The OpenAPI documents of the gateway and the agent: their routes alone, nothing behind them."""

from __future__ import annotations

from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any, cast

from pydantic import SecretStr

from contracts.types import Launch
from services.agent.routes.app import create_app
from services.chassis.addresses import Proxies
from services.chassis.health import Health
from services.chassis.targets import PRIVATE_NETWORKS, AllowList
from services.chassis.webhook_targets import WebhookTargets
from services.gateway.routes import application
from services.gateway.routes.access import StaticToken
from services.gateway.routes.answers import Envelopes
from services.gateway.routes.doors import About, Doors
from services.gateway.routes.targets import Targets

API = "/api/v1"
NOBODY = "nobody calls this application"
_NOTHING = cast("Any", None)


def of_gateway() -> dict[str, Any]:
    """Return what people may ask of the gateway."""
    anywhere = AllowList(PRIVATE_NETWORKS)
    doors = Doors(
        commands=_NOTHING,
        known=_NOTHING,
        accounts=_NOTHING,
        reads=_NOTHING,
        journal=_NOTHING,
        scheduler=_NOTHING,
        workers=_NOTHING,
        envelopes=Envelopes(API, lambda: datetime.now(UTC)),
        targets=Targets(anywhere, anywhere, WebhookTargets(())),
        proxies=Proxies(anywhere),
        health=Health("gateway"),
        about=About("Quartermaster", "1", API),
        launch=lambda _: Launch(template="none"),
        fingerprint_key=b"",
    )
    return application(doors, StaticToken(SecretStr(NOBODY)), ()).openapi()


def of_agent() -> dict[str, Any]:
    """Return what the control plane may ask of an agent."""
    agent = cast("Any", SimpleNamespace(touch=_NOTHING))
    return create_app(agent, NOBODY).openapi()
