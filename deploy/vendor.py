"""`python -m deploy.vendor [check|fetch]`: the console's scripts that others wrote.

`lock.json` beside them names each package, its version and the digest that the registry gave it,
and each file that is taken from it with a digest of its own. `fetch` gets the packages with npm,
refuses whatever is not what the lock says, and writes the files; `check` needs no network.
"""

import base64
import hashlib
import json
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

VENDOR = Path(__file__).parents[1] / "services/console/static/vendor"
LOCK = "lock.json"
ROOT = "package/"


class VendorError(Exception):
    """Something is not what the lock says."""


def digest(content: bytes, algorithm: str = "sha384") -> str:
    """Return a digest as browsers and registries write it: `sha384-...`."""
    found = hashlib.new(algorithm, content).digest()
    return f"{algorithm}-{base64.b64encode(found).decode()}"


def locked(folder: Path = VENDOR) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield every package that is locked, by name."""
    yield from sorted(json.loads((folder / LOCK).read_text()).items())


def check(folder: Path = VENDOR) -> list[str]:
    """Return what is wrong: files that are missing, changed, or in no lock."""
    wanted = {
        each["as"]: each["integrity"]
        for _, package in locked(folder)
        for each in package["files"].values()
    }
    wrong = [f"{name} is missing" for name in wanted if not (folder / name).exists()]
    for path in sorted(folder.iterdir()):
        if path.name == LOCK:
            continue
        if path.name not in wanted:
            wrong.append(f"{path.name} is in no lock")
        elif digest(path.read_bytes()) != wanted[path.name]:
            wrong.append(f"{path.name} is not what the lock says")
    return wrong


def fetch(folder: Path = VENDOR) -> None:
    """Write every locked file anew, from packages that are what the lock says."""
    for name, package in locked(folder):
        with tempfile.TemporaryDirectory() as scratch:
            archive = _packed(f"{name}@{package['version']}", Path(scratch))
            content = archive.read_bytes()
            if digest(content, "sha512") != package["integrity"]:
                raise VendorError(f"{name} {package['version']} is not what the lock says")
            with tarfile.open(archive) as opened:
                for inside, each in package["files"].items():
                    taken = _member(opened, inside)
                    if digest(taken) != each["integrity"]:
                        raise VendorError(f"{inside} of {name} is not what the lock says")
                    (folder / each["as"]).write_bytes(taken)


def _packed(what: str, scratch: Path) -> Path:
    """Return a package's archive; nothing of it is run."""
    command = ["npm", "pack", what, "--ignore-scripts", "--silent", "--pack-destination"]
    subprocess.run([*command, str(scratch)], check=True, cwd=scratch, stdout=subprocess.DEVNULL)
    return next(scratch.glob("*.tgz"))


def _member(opened: tarfile.TarFile, inside: str) -> bytes:
    found = opened.extractfile(ROOT + inside)
    if found is None:
        raise VendorError(f"there is no {inside} in it")
    return found.read()


def main() -> int:
    """Check or fetch; 0: all is what the lock says."""
    if sys.argv[1:] == ["fetch"]:
        try:
            fetch()
        except (VendorError, subprocess.CalledProcessError, OSError, KeyError) as error:
            print(f"not fetched: {error}", file=sys.stderr)
            return 1
    elif sys.argv[1:] not in ([], ["check"]):
        print("usage: python -m deploy.vendor [check|fetch]", file=sys.stderr)
        return 2
    for sentence in check():
        print(sentence, file=sys.stderr)
    return 1 if check() else 0


if __name__ == "__main__":
    sys.exit(main())
