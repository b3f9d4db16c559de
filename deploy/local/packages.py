"""Finds the broker that the distribution packages, and gets it if it is missing."""

import os
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from deploy.local.errors import EngineError, say

PACKAGE = "rabbitmq-server"
INSTALL = f"apt-get install --no-install-recommends {PACKAGE}"
SYSTEM = Path("/")
POLICY = Path("/usr/sbin/policy-rc.d")
FORBID_STARTS = "#!/bin/sh\nexit 101\n"
DEPENDENCIES = (
    *("apt-cache", "depends", "--recurse", "--no-recommends", "--no-suggests"),
    *("--no-conflicts", "--no-breaks", "--no-replaces", "--no-enhances", PACKAGE),
)


@dataclass(frozen=True)
class Broker:
    """Where the scripts of RabbitMQ and the Erlang that they need are."""

    prefix: Path

    @property
    def scripts(self) -> Path:
        """The directory of rabbitmq-server; never the wrapper in sbin, which changes the user."""
        return self.prefix / "usr/lib/rabbitmq/bin"

    @property
    def erlang(self) -> Path:
        """The directory of erl and epmd."""
        return self.prefix / "usr/lib/erlang/bin"

    @property
    def is_complete(self) -> bool:
        """Tell whether both are there."""
        return (self.scripts / "rabbitmq-server").exists() and (self.erlang / "erl").exists()


def find_or_get() -> Broker:
    """Return the broker of this machine; installed when root, unpacked beside when not.

    Raises EngineError with the one command to run when neither works.
    """
    unpacked = Broker(_own_prefix())
    found = [broker for broker in (Broker(SYSTEM), unpacked) if broker.is_complete]
    if found:
        return found[0]
    if shutil.which("apt-get") is None:
        raise EngineError(f"RabbitMQ is missing: install your distribution's {PACKAGE} package")
    if os.geteuid() == 0:
        _install()
        return Broker(SYSTEM)
    _unpack(unpacked.prefix)
    return unpacked


def _own_prefix() -> Path:
    cache = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(cache) / "quartermaster" / "rabbitmq"


def _install() -> None:
    """Install the package without letting Debian start a broker of the system's own."""
    say(f"installing {PACKAGE} (about a minute, 140 MB): {INSTALL}")
    ours = not POLICY.exists()
    if ours:
        POLICY.write_text(FORBID_STARTS)
        POLICY.chmod(0o755)
    try:
        if not _works([*INSTALL.split(), "--yes"]):
            _works(["apt-get", "update"])
            _must([*INSTALL.split(), "--yes"], INSTALL)
    finally:
        if ours:
            POLICY.unlink()


def _unpack(prefix: Path) -> None:
    """Download the packages and unpack them below a directory of this user's own."""
    if " " in str(prefix):
        raise EngineError(f"RabbitMQ is missing and cannot run in {prefix}\nRun: sudo {INSTALL}")
    say(f"unpacking {PACKAGE} into {prefix} (once, 60 MB)")
    listed = _output(DEPENDENCIES)
    names = [line for line in listed.split("\n") if line.startswith(("erlang-", PACKAGE))]
    beside = prefix.with_name(".rabbitmq.new")
    shutil.rmtree(beside, ignore_errors=True)
    (beside / "packages").mkdir(parents=True)
    _must(["apt-get", "download", *names], f"sudo {INSTALL}", cwd=beside / "packages")
    for package in sorted((beside / "packages").glob("*.deb")):
        _must(["dpkg", "-x", str(package), str(beside)], f"sudo {INSTALL}")
    shutil.rmtree(beside / "packages")
    for script in beside.glob("usr/lib/erlang/**/bin/erl"):
        moved = f'="{prefix}/usr/lib/erlang"'
        script.write_text(script.read_text().replace("=/usr/lib/erlang", moved))
    beside.rename(prefix)


def _must(command: Sequence[str], instead: str, cwd: Path = SYSTEM) -> None:
    done = _run(command, cwd)
    if done.returncode != 0:
        reason = f"{' '.join(command[:2])} failed: {done.stderr.strip()[-300:]}"
        raise EngineError(f"RabbitMQ is missing and {reason}\nRun: {instead}")


def _works(command: Sequence[str]) -> bool:
    return _run(command, SYSTEM).returncode == 0


def _output(command: Sequence[str]) -> str:
    return _run(command, SYSTEM).stdout


def _run(command: Sequence[str], cwd: Path) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    return subprocess.run(
        list(command), cwd=cwd, env=env, capture_output=True, text=True, check=False
    )
