"""What memory costs: the bytes that the log and its read models take on disk."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from services.chassis.database import Statements

MILLION = 1_000_000
# Partitions count as the table that they are of; every index and every long value is in it.
_TABLES = """
select n.nspname || '.' || coalesce(parent.relname, c.relname) as name,
       sum(pg_total_relation_size(c.oid))::bigint as bytes
  from pg_class c
  join pg_namespace n on n.oid = c.relnamespace
  left join pg_inherits i on i.inhrelid = c.oid
  left join pg_class parent on parent.oid = i.inhparent
 where n.nspname in ('log', 'rm') and c.relkind = 'r'
 group by 1
 order by 2 desc, 1"""


@dataclass(frozen=True)
class Sizes:
    """Bytes on disk by table, indexes and all, of a log that goes through `events` positions."""

    events: int
    tables: dict[str, int]

    def per_million(self, prefix: str = "") -> int:
        """Return the bytes for each million events: of all, or of tables that begin so."""
        found = sum(size for name, size in self.tables.items() if name.startswith(prefix))
        return found * MILLION // max(1, self.events)

    @property
    def log(self) -> int:
        """Bytes of facts and telemetry for each million events."""
        return self.per_million("log.facts") + self.per_million("log.telemetry")

    @property
    def read_models(self) -> int:
        """Bytes of read models, with the rows as they were, for each million events."""
        return self.per_million("rm.")


async def sizes(database: Statements) -> Sizes:
    """Return what a database takes; telemetry that was dropped is not in it, its events are."""
    events = await database.fetchval("select log.head()")
    rows = await database.fetch(_TABLES)
    return Sizes(int(events), {row["name"]: row["bytes"] for row in rows})
