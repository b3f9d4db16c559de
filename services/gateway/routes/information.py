"""/ and /health: what this is, and whether it is well."""

from fastapi import APIRouter, Response

from services.chassis.problems import encode
from services.gateway.routes.access import PUBLIC
from services.gateway.routes.answers import JSON
from services.gateway.routes.doors import DoorsHere

router = APIRouter(tags=["information"])


@router.get("/", dependencies=[PUBLIC])
async def information(doors: DoorsHere) -> Response:
    """Return what this is and where its parts are."""
    about = doors.about
    return Response(
        encode(
            {
                "name": about.name,
                "version": about.version,
                "api": about.api,
                "docs": "/docs",
                "openapi": "/openapi.json",
                "health": "/health",
            }
        ),
        media_type=JSON,
    )


@router.get("/health", dependencies=[PUBLIC])
async def health(doors: DoorsHere) -> Response:
    """Return 200 when every part is well, 503 when one is not."""
    return Response(doors.health.as_json(), 200 if doors.health.ok else 503, media_type=JSON)
