"""Programs that some tests need and a machine may lack, and what is tested without them."""

from __future__ import annotations

import os
import shutil

from tests.containers import BASE, builder
from tests.metrics_store import BINARY


def promtool() -> str | None:
    """Return where promtool is: QM_PROMTOOL, or on the PATH."""
    return os.environ.get("QM_PROMTOOL") or shutil.which("promtool")


def left_out() -> list[str]:
    """Return a line for each part of the tests that cannot run here."""
    lines = {
        f"no engine here has {BASE}: the image is not built, its files are checked": builder(),
        "no victoria-metrics: no panel is asked, their metrics are compared with what is told": BINARY,
        "no promtool: alert rules are checked by our own eyes": promtool(),
    }
    return [line for line, found in lines.items() if found is None]
