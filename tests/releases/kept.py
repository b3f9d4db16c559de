"""What is kept of each release: a log it wrote, the schemas it promised, the migrations it had."""

from __future__ import annotations

import gzip
import json
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any

from contracts.envelope import Meta, Recorded

HOME = Path(__file__).parent
RELEASES = tuple(sorted(path.name.removesuffix(".jsonl.gz") for path in HOME.glob("*.jsonl.gz")))
FIRST = "0.1-spine"
# As the first release had them: whoever installed it has these digests in the database.
MIGRATIONS_OF_FIRST = {
    "0001_log.sql": "36e5a97365dfc2efe62f65179b16d3b36695db53f7ec7b6ade6ccbde5e4bf850",
    "0002_read_models.sql": "77ef5d2743219ca5d0a124871222d02fdc296211bdc0d3b767620161a0a07b6d",
    "0003_doors.sql": "9b41f3486ead117bff401fc0302b661e0dfdb019796585230e475e8ff12257da",
}


@cache
def log_of(release: str) -> tuple[Recorded, ...]:
    """Return the log that a release wrote."""
    lines = gzip.decompress((HOME / f"{release}.jsonl.gz").read_bytes()).splitlines()
    return tuple(_recorded(json.loads(line)) for line in lines)


@cache
def schemas_of(release: str) -> dict[str, dict[str, Any]]:
    """Return the schemas of a release's events by file name."""
    text = gzip.decompress((HOME / f"{release}.schemas.json.gz").read_bytes())
    return dict(json.loads(text))


def _recorded(item: dict[str, Any]) -> Recorded:
    meta = Meta(**{name: item["meta"].get(name) for name in Meta.__slots__})
    at = datetime.fromisoformat(item["recorded_at"])
    return Recorded(**(item | {"meta": meta, "recorded_at": at}))
