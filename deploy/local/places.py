"""Directories, the user who must reach them, and files that are replaced whole."""

import hashlib
import os
import pwd
import shutil
import stat
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from deploy.local.errors import EngineError

OPEN_TO_PASS = 0o711
ORDINARY_USERS = ("postgres", "nobody")


@dataclass(frozen=True)
class User:
    """An ordinary user of this machine that a process of root may become."""

    name: str
    uid: int
    gid: int

    def as_arguments(self) -> dict[str, Any]:
        """Return the arguments that make subprocess start a process as this user."""
        return {"user": self.uid, "group": self.gid, "extra_groups": []}


def user_for(data: Path) -> User | None:
    """Return whom PostgreSQL shall run as, which refuses root: None means as ourselves.

    The owner of existing data stays; for new data an existing user is taken, none is created.
    """
    if os.geteuid() != 0:
        return None
    if data.exists() and data.stat().st_uid != 0:
        owner = pwd.getpwuid(data.stat().st_uid)
        return User(owner.pw_name, owner.pw_uid, owner.pw_gid)
    for name in ORDINARY_USERS:
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        return User(name, entry.pw_uid, entry.pw_gid)
    reason = f"PostgreSQL does not run as root and there is no user {' or '.join(ORDINARY_USERS)}"
    raise EngineError(f"{reason}: start Quartermaster as an ordinary user")


def can_reach(user: User | None, directory: Path) -> bool:
    """Tell whether the user may pass through a directory and all above it."""
    if user is None:
        return os.access(directory, os.X_OK)
    return runs_as(user, "/usr/bin/test", "-x", str(directory))


def runs_as(user: User | None, *command: str) -> bool:
    """Tell whether a command succeeds when the user runs it."""
    as_user = user.as_arguments() if user else {}
    try:
        done = subprocess.run(command, cwd="/", env={}, capture_output=True, check=False, **as_user)
    except PermissionError:
        if user and os.geteuid() == 0 and not _may_become(user):
            reason = f"this root may not become {user.name}, and PostgreSQL does not run as root"
            raise EngineError(f"{reason}: start Quartermaster as an ordinary user") from None
        return False
    return bool(done.returncode == 0)


def closed_to(user: User | None, directory: Path) -> Path:
    """Return the first directory on the way that the user may not pass."""
    way = [*reversed(directory.parents), directory]
    return next((step for step in way if not can_reach(user, step)), directory)


def private_place(state: Path) -> Path:
    """Return a directory below the system's temporary one that belongs to this state alone.

    Raises EngineError when somebody else made it first: the name is no secret.
    """
    mark = hashlib.sha256(str(state.resolve()).encode()).hexdigest()[:12]
    place = Path(tempfile.gettempdir()) / f"quartermaster-{os.geteuid()}-{mark}"
    make_directory(place)
    found = place.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid():
        raise EngineError(f"{place} belongs to somebody else: remove it, or set TMPDIR")
    return place


def make_directory(path: Path, mode: int = OPEN_TO_PASS, owner: User | None = None) -> Path:
    """Make a directory with exactly this mode; one that exists is left as it is."""
    try:
        path.mkdir(mode=0o700, parents=False)
    except FileExistsError:
        return path
    path.chmod(mode)
    if owner:
        os.chown(path, owner.uid, owner.gid)
    return path


def make_state(state: Path) -> Path:
    """Make the state directory and those missing above it; return its absolute path."""
    state = state.resolve()
    for step in [*reversed(state.parents), state]:
        make_directory(step)
    return state


def replace_file(path: Path, text: str, mode: int = 0o600) -> None:
    """Write a file whole or not at all, readable as the mode says from its first byte."""
    beside = path.with_name(f".{path.name}.new")
    beside.unlink(missing_ok=True)
    descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    beside.replace(path)


def copy_readable(source: Path, target: Path) -> None:
    """Copy a tree so that everybody may read and run it; appears whole or not at all."""
    beside = target.with_name(f".{target.name}.new")
    shutil.rmtree(beside, ignore_errors=True)
    shutil.copytree(source, beside)
    for path in (beside, *beside.rglob("*")):
        path.chmod(0o755 if path.is_dir() or os.access(path, os.X_OK) else 0o644)
    shutil.rmtree(target, ignore_errors=True)
    beside.rename(target)


def _may_become(user: User) -> bool:
    try:
        subprocess.run(["/bin/true"], check=True, cwd="/", **user.as_arguments())
    except (OSError, subprocess.CalledProcessError):
        return False
    return True
