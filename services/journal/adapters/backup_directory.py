"""The directory of a backup: chunks written beside and renamed, notes, and at last the manifest."""

from __future__ import annotations

import hashlib
import os
import zlib
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING

import orjson

from services.chassis.errors import Refused, Unavailable
from services.journal.backup import Chunk, Damaged, Manifest, manifest_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

MANIFEST, NOTES = "manifest.json", "notes.ndjson"
LEVEL = 1  # one and a half times the bytes of the default, a third of its time
_GZIP = 31  # zlib's way to say: with the header and trailer of gzip
_PIECE = 1 << 18


class Directory:
    """One backup on disk."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def prepare(self) -> None:
        """Make the directory; raises Refused where something else is."""
        with _told("directory"):
            self._path.mkdir(parents=True, exist_ok=True, mode=0o700)
        strangers = [file.name for file in self._path.iterdir() if not _is_ours(file.name)]
        if strangers:
            raise Refused(f"directory: {self._path} holds other things, such as {strangers[0]}")

    def is_complete(self) -> bool:
        """Return whether a manifest is there already."""
        return (self._path / MANIFEST).exists()

    def kept(self) -> list[Chunk]:
        """Return the chunks that an earlier attempt finished, as its notes say."""
        notes = self._path / NOTES
        lines = notes.read_bytes().splitlines() if notes.exists() else []
        chunks = []
        for line in lines:
            try:
                chunk = Chunk(**orjson.loads(line))
            except (orjson.JSONDecodeError, TypeError):
                continue  # cut off while it was written
            if _size(self._path / chunk.file) == chunk.bytes:
                chunks.append(chunk)
        return chunks

    def note(self, chunk: Chunk) -> None:
        """Note a finished chunk for a later attempt."""
        with _told("directory"), (self._path / NOTES).open("ab") as notes:
            notes.write(orjson.dumps(asdict(chunk)) + b"\n")
            _sync(notes.fileno())

    def finish(self, manifest: Manifest) -> None:
        """Write the manifest, and remove what it does not name."""
        named = {MANIFEST, *(chunk.file for chunk in manifest.chunks)}
        with _told("directory"):
            for file in self._path.iterdir():
                if file.name not in named:
                    file.unlink()
            beside = self._path / f"{MANIFEST}.part"
            text = orjson.dumps(manifest.as_dict(), option=orjson.OPT_INDENT_2)
            with beside.open("wb") as file_:
                file_.write(text)
                _sync(file_.fileno())
            beside.rename(self._path / MANIFEST)
            _sync_directory(self._path)

    @contextmanager
    def writing(self, chunk: Chunk) -> Iterator[ChunkFile]:
        """Yield the file of a chunk; it has its name only once all of it is on disk."""
        beside = self._path / f"{chunk.file}.part"
        with _told("directory"):
            with beside.open("wb") as raw:
                file = ChunkFile(raw.write, chunk)
                yield file
                file.end()
                raw.flush()
                _sync(raw.fileno())
            beside.rename(self._path / chunk.file)
            _sync_directory(self._path)

    def manifest(self) -> Manifest:
        """Return its manifest; raises Refused where there is none."""
        try:
            return manifest_of(orjson.loads((self._path / MANIFEST).read_bytes()))
        except (OSError, orjson.JSONDecodeError) as error:
            raise Refused(f"{self._path} holds no whole backup: {error}") from error

    async def rows(self, chunk: Chunk) -> AsyncIterator[bytes]:
        """Yield a chunk's rows; raises Damaged, at its end when its hash is another."""
        plain, found = zlib.decompressobj(_GZIP), hashlib.sha256()
        try:
            with (self._path / chunk.file).open("rb") as file:
                while piece := file.read(_PIECE):
                    found.update(piece)
                    yield plain.decompress(piece)
        except (OSError, zlib.error) as error:
            raise Damaged(f"{chunk.file} cannot be read: {error}") from error
        if found.hexdigest() != chunk.sha256 or not plain.eof:
            raise Damaged(f"{chunk.file} is not what the manifest says: its hash is another")


class ChunkFile:
    """A chunk while it is written: compressed and hashed on its way."""

    def __init__(self, write: object, chunk: Chunk) -> None:
        self._write, self._chunk = write, chunk
        self._packed = zlib.compressobj(LEVEL, zlib.DEFLATED, _GZIP)
        self._found, self._bytes = hashlib.sha256(), 0

    async def write(self, rows: bytes) -> None:
        """Take some bytes."""
        self._put(self._packed.compress(rows))

    def end(self) -> None:
        """Write what is left."""
        self._put(self._packed.flush())

    def chunk(self, rows: int) -> Chunk:
        """Return the chunk with what its file is."""
        return replace(self._chunk, rows=rows, bytes=self._bytes, sha256=self._found.hexdigest())

    def _put(self, packed: bytes) -> None:
        self._found.update(packed)
        self._bytes += len(packed)
        self._write(packed)  # type: ignore[operator]


def below(root: Path | None, directory: str) -> Path:
    """Return a directory for a backup; raises Refused when it is not below the one for backups."""
    if root is None:
        raise Refused(
            "directory: this journal writes no backups; set QM_BACKUP_DIR for it, or back up"
            " from the database itself"
        )
    try:
        path = (root / directory).resolve()
    except (ValueError, OSError) as error:
        raise Refused(f"directory: {error}") from error
    if not path.is_relative_to(root.resolve()) or path == root.resolve():
        raise Refused(f"directory: backups of this journal are written below {root.resolve()}")
    return path


@contextmanager
def _told(field: str) -> Iterator[None]:
    """Say what the file system refuses, in our tree: a full disk may be emptied."""
    try:
        yield
    except (PermissionError, NotADirectoryError, FileExistsError) as error:
        raise Refused(f"{field}: {error}") from error
    except OSError as error:
        raise Unavailable(f"{field}: {error}") from error


def _is_ours(name: str) -> bool:
    stem = name.removesuffix(".part")
    return stem in (MANIFEST, NOTES) or stem.endswith(".copy.gz")


def _size(file: Path) -> int:
    return file.stat().st_size if file.exists() else -1


def _sync(descriptor: int) -> None:
    os.fsync(descriptor)


def _sync_directory(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
