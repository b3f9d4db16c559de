"""Scripts and styles: read once, named by what is in them, and so kept for ever by browsers."""

from __future__ import annotations

import gzip
import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from fastapi import APIRouter, Request, Response

from services.chassis.errors import Bug, NotFound

if TYPE_CHECKING:
    from pathlib import Path

PREFIX = "/static"
FOR_EVER = "public, max-age=31536000, immutable"
TYPES = {
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}


@dataclass(frozen=True)
class Asset:
    """A file as it is sent."""

    url: str
    media_type: str
    plain: bytes
    small: bytes


class Assets:
    """All of them, by name and by address."""

    def __init__(self, folder: Path) -> None:
        found = {
            path.relative_to(folder).as_posix(): _asset(path.relative_to(folder).as_posix(), path)
            for path in sorted(folder.rglob("*"))
            if path.suffix in TYPES
        }
        self.by_name = found
        self._by_url = {each.url: each for each in found.values()}

    def url(self, name: str) -> str:
        """Return where a file is; raises Bug when there is none."""
        if name not in self.by_name:
            raise Bug(f"the console has no file {name}")
        return self.by_name[name].url

    def routes(self) -> APIRouter:
        """Return the route that sends them."""
        router = APIRouter()

        @router.get(PREFIX + "/{name:path}", include_in_schema=False)
        async def asset(name: str, request: Request) -> Response:
            found = self._by_url.get(f"{PREFIX}/{name}")
            if found is None:
                raise NotFound(f"there is no file {name[:100]}")
            headers = {"cache-control": FOR_EVER, "vary": "accept-encoding"}
            if "gzip" not in request.headers.get("accept-encoding", ""):
                return Response(found.plain, headers=headers, media_type=found.media_type)
            headers["content-encoding"] = "gzip"
            return Response(found.small, headers=headers, media_type=found.media_type)

        return router


def _asset(name: str, path: Path) -> Asset:
    content = path.read_bytes()
    stem, _, suffix = name.rpartition(".")
    url = f"{PREFIX}/{stem}.{hashlib.sha256(content).hexdigest()[:12]}.{suffix}"
    return Asset(url, TYPES[f".{suffix}"], content, gzip.compress(content, 9, mtime=0))
