"""Reads: GET /alerts and /webhooks."""

from typing import Annotated

from fastapi import APIRouter, Query, Request, Response

from contracts.types import AlertId, Name, WebhookId
from services.chassis.repeating import Repeated
from services.query.routes.reading import Page, Read, Reader, a_page, one_of


class PageOfAlerts(Page):
    """What narrows alerts down."""

    open: bool | None = None


class PageOfDeliveries(Page):
    """What narrows deliveries down."""

    message_id: Name | None = None


def routes(reader: Reader) -> APIRouter:
    """Return the routes of alerts, and of where they go."""
    router = APIRouter(tags=["alerts"], route_class=Repeated)

    @router.get("/alerts")
    async def alerts(request: Request, page: Annotated[PageOfAlerts, Query()]) -> Response:
        return await a_page(request, reader, "alerts", page, page.open)

    @router.get("/alerts/{alert_id:path}")
    async def alert(
        request: Request, alert_id: AlertId, read: Annotated[Read, Query()]
    ) -> Response:
        return await one_of(request, reader, "alert", read, alert_id)

    @router.get("/webhooks")
    async def webhooks(request: Request, page: Annotated[Page, Query()]) -> Response:
        return await a_page(request, reader, "webhooks", page)

    @router.get("/webhooks/{webhook_id}")
    async def webhook(
        request: Request, webhook_id: WebhookId, read: Annotated[Read, Query()]
    ) -> Response:
        return await one_of(request, reader, "webhook", read, webhook_id)

    @router.get("/webhooks/{webhook_id}/deliveries")
    async def deliveries(
        request: Request, webhook_id: WebhookId, page: Annotated[PageOfDeliveries, Query()]
    ) -> Response:
        return await a_page(
            request, reader, "deliveries", page, webhook_id, page.message_id, numbered=True
        )

    return router
