"""/search: things by name or id, for the keyboard."""

from __future__ import annotations

import asyncio

from fastapi import APIRouter, Response
from starlette.responses import HTMLResponse

from services.console.decide.searching import hits
from services.console.routes.visiting import VisitHere

router = APIRouter()
LISTS = {
    "model": "/models",
    "node": "/nodes",
    "environment": "/environments",
    "strategy": "/scheduling-strategies",
    "gpu": "/gpus",
}


@router.get("/search")
async def search(visit: VisitHere, q: str = "") -> Response:
    """Return what is found, as links."""
    found = await asyncio.gather(
        *(visit.all(path) for path in LISTS.values()), visit.all("/instances", active="true")
    )
    things = dict(zip((*LISTS, "instance"), found, strict=True))
    text = visit.house.pages.render(
        "hits.html",
        hits=hits(q[:200], things, visit.session.permissions),
        wanted=q[:200],
        when=visit.when,
    )
    return HTMLResponse(text)
