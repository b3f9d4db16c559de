"""Templates: everything that is put into a page is escaped, and what is missing is a bug."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import jinja2

from services.console.decide import spoken
from services.console.decide.actions import offered
from services.console.decide.places import navigation, page_of
from services.console.decide.when import NAMES

if TYPE_CHECKING:
    from pathlib import Path

    from services.console.routes.assets import Assets


class Pages:
    """Renders templates."""

    def __init__(self, folder: Path, assets: Assets, project: str) -> None:
        self._environment = jinja2.Environment(
            loader=jinja2.FileSystemLoader(folder),
            autoescape=True,
            undefined=jinja2.StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
            auto_reload=False,
        )
        self._environment.globals |= {
            "asset": assets.url,
            "project": project,
            "navigation": navigation,
            "ranges": NAMES,
            "page_of": page_of,
            "offered": offered,
        }
        self._environment.filters |= {
            "clock": spoken.clock,
            "ago": spoken.ago,
            "number": spoken.number,
            "duration": spoken.duration,
            "words": spoken.words,
            "memory": spoken.memory,
        }

    def render(self, name: str, **model: Any) -> str:
        """Return a page, or a part of one."""
        return self._environment.get_template(name).render(**model)
