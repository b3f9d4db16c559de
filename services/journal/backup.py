"""Back the log up: chunks in PostgreSQL's COPY text, compressed, each with its hash in a manifest.

What is recorded never changes, so chunks are copied one after another while appends go on; only
the head and the small tables are of one moment. The manifest is written last: without it there is
no backup. A backup that was cut off goes on behind the chunks it has.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from services.chassis.errors import Refused
from services.journal.records import never_mind

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from services.journal.records import Seal, Tell

FORMAT, VERSION = "quartermaster log backup", 1
CHUNK_POSITIONS = 100_000
BY_POSITION = ("facts", "telemetry")
OF_A_MOMENT = ("telemetry_heads", "seals")
SECRETS = "secrets"
_EVENT = (
    "position", "event_id", "stream", "version", "type", "schema_version", "data", "meta",
    "recorded_at", "hash",
)  # fmt: skip
COLUMNS: Mapping[str, tuple[str, ...]] = {
    "facts": _EVENT,
    "telemetry": _EVENT,
    "telemetry_heads": ("stream", "version"),
    "seals": (
        "partition", "first_position", "last_position", "events", "last_hash", "sealed_at",
        "sealed_by",
    ),
    "secrets": (
        "secret_id", "version", "ciphertext", "nonce", "purpose", "readers", "request_id",
        "created_at", "erased_at",
    ),
}  # fmt: skip


class Damaged(Refused):
    """The backup is not what its manifest says."""


@dataclass(frozen=True, slots=True)
class Chunk:
    """One file: the rows of a table behind one position and up to another.

    seen: the head when it was copied. sha256: of the file as it is, in hex.
    """

    table: str
    after: int
    through: int
    seen: int
    rows: int = 0
    bytes: int = 0
    sha256: str = ""

    @property
    def file(self) -> str:
        """Return what the file is called."""
        return f"{self.table}-{self.after + 1:012d}-{self.through:012d}.copy.gz"

    def is_stale(self, seals: Sequence[Seal]) -> bool:
        """Return whether some of it was dropped since: then it would contradict the seals."""
        return self.table == "telemetry" and any(
            seal.sealed_by > self.seen and seal.first <= self.through and seal.last > self.after
            for seal in seals
        )


@dataclass(frozen=True, slots=True)
class Moment:
    """The log at one moment: its head, the facts' chain (hex), what is there, who is applied."""

    position: int
    event_id: str | None
    facts_hash: str
    made_at: str
    partitions: tuple[str, ...]
    migrations: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a backup is; made_at is the database's time."""

    head: Moment
    chunks: tuple[Chunk, ...]
    format: str = FORMAT
    version: int = VERSION
    columns: Mapping[str, Sequence[str]] = field(default_factory=lambda: COLUMNS)

    @property
    def events(self) -> int:
        """Return how many events it holds."""
        return sum(chunk.rows for chunk in self.chunks if chunk.table in BY_POSITION)

    def as_dict(self) -> dict[str, Any]:
        """Return it as JSON values."""
        return asdict(self)


def manifest_of(said: Mapping[str, Any]) -> Manifest:
    """Return the manifest in a file; raises Refused for what is none of ours."""
    try:
        if said["format"] != FORMAT or said["version"] > VERSION:
            raise Refused(f"this is {said['format']} version {said['version']}: not for this code")
        head = {**said["head"], "partitions": tuple(said["head"]["partitions"])}
        chunks = tuple(Chunk(**chunk) for chunk in said["chunks"])
        return Manifest(Moment(**head), chunks, columns=said["columns"])
    except (KeyError, TypeError) as error:
        raise Refused(f"the manifest does not read as one: {error!r}") from error


class Source(Protocol):
    """The log that is copied."""

    async def moment(self, extra: Sequence[str]) -> tuple[Moment, list[Chunk]]:
        """Return the log at one moment, and copy the tables that are of a moment."""

    async def seals(self) -> list[Seal]:
        """Return what dropped partitions left behind, in order."""

    async def copy(self, chunk: Chunk) -> Chunk:
        """Copy a chunk and return it with what its file turned out to be."""


class Files(Protocol):
    """The directory of a backup."""

    def is_complete(self) -> bool:
        """Return whether a manifest is there already."""

    def kept(self) -> list[Chunk]:
        """Return the chunks that an earlier attempt finished, as its notes say."""

    def note(self, chunk: Chunk) -> None:
        """Note a finished chunk for a later attempt."""

    def finish(self, manifest: Manifest) -> None:
        """Write the manifest, and remove what it does not name."""


async def backup(
    source: Source, files: Files, tell: Tell = never_mind, *, extra: Sequence[str] = ()
) -> Manifest:
    """Copy the whole log and return the manifest; `extra` names tables beside it.

    Raises Refused where a backup is already, Unavailable; a later attempt goes on from there.
    """
    if files.is_complete():
        raise Refused("directory: a whole backup is there already; choose another directory")
    done = {(chunk.table, chunk.after, chunk.through): chunk for chunk in files.kept()}
    while True:
        moment, small = await source.moment(extra)
        wanted = list(ranges(moment.position))
        seals = await source.seals()
        for key in wanted:
            if key not in done or done[key].is_stale(seals):
                done[key] = await source.copy(Chunk(*key, seen=moment.position))
                files.note(done[key])
            tell(key[2], moment.position, "positions")
        seals = await source.seals()
        # A seal behind this moment is not among its tables: what it dropped must be copied anew.
        if not any(done[key].is_stale(seals) for key in wanted):
            break
    manifest = Manifest(moment, (*small, *(done[key] for key in wanted)))
    files.finish(manifest)
    return manifest


def ranges(head: int) -> Iterator[tuple[str, int, int]]:
    """Yield the chunks of a log that ends at a position."""
    for after in range(0, head, CHUNK_POSITIONS):
        for table in BY_POSITION:
            yield table, after, min(after + CHUNK_POSITIONS, head)
