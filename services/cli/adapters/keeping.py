"""What logins are kept between commands: one file in the user's own directory, mode 0600."""

from __future__ import annotations

import fcntl
import os
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import orjson
import typer

from services.chassis.errors import Refused
from services.chassis.ids import token

if TYPE_CHECKING:
    from collections.abc import Iterator

FILE = "logins.json"
DEFAULT = "default"


@dataclass(frozen=True)
class Login:
    """A gateway and what lets somebody in there."""

    url: str
    access: str = field(repr=False)
    refresh: str | None = field(default=None, repr=False)
    username: str = ""


@dataclass
class Kept:
    """Every login by the name of its context, and the one that is used."""

    logins: dict[str, Login] = field(default_factory=dict)
    current: str = DEFAULT


def directory() -> Path:
    """Return the directory that this user keeps the command's things in."""
    return Path(typer.get_app_dir("quartermaster"))


class Logins:
    """Reads and writes the file; two commands at once take turns."""

    def __init__(self, place: Path | None = None) -> None:
        self._place = place or directory()

    @property
    def file(self) -> Path:
        """Where they are."""
        return self._place / FILE

    def read(self) -> Kept:
        """Return what is kept; Refused when the file cannot be read as ours."""
        try:
            found = orjson.loads(self.file.read_bytes())
            logins = {name: Login(**each) for name, each in found["logins"].items()}
            return Kept(logins, found["current"])
        except FileNotFoundError:
            return Kept()
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise Refused(f"{self.file} cannot be read: remove it and log in again") from error

    @contextmanager
    def changing(self) -> Iterator[Kept]:
        """Yield what is kept, alone; what was changed in it is kept afterwards."""
        try:
            self._place.mkdir(mode=0o700, parents=True, exist_ok=True)
            with (self._place / f"{FILE}.lock").open("a") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX)
                kept = self.read()
                yield kept
                self._write(kept)
        except OSError as error:
            raise Refused(f"{self.file} cannot be written: {error.strerror}") from error

    def _write(self, kept: Kept) -> None:
        """Replace the file whole; at no moment can anybody else read what is in it."""
        beside = self._place / f".{FILE}.{token(6)}"
        descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as out:
            out.write(orjson.dumps(asdict(kept), option=orjson.OPT_INDENT_2))
        beside.replace(self.file)
