"""A folder for each worker: its output, its ready file, and its secrets while it lives."""

from __future__ import annotations

import shutil
from collections.abc import Collection, Iterable
from pathlib import Path

from contracts.http.agent import SecretFile


class Folders:
    """`instances/<id>/` below the agent's directory; an instance id is a safe file name."""

    def __init__(self, root: Path) -> None:
        self.root = (root / "instances").absolute()
        self.root.mkdir(mode=0o700, parents=True, exist_ok=True)

    def log(self, instance_id: str) -> Path:
        """Return where a worker's output goes."""
        return self.root / instance_id / "log"

    def ready_file(self, instance_id: str) -> Path:
        """Return the file a worker makes when it is ready."""
        return self.root / instance_id / "ready"

    def prepare(self, instance_id: str, secrets: Iterable[SecretFile]) -> dict[str, str]:
        """Make a new folder and write the secrets; return {variable: path} for the worker."""
        folder = self.root / instance_id
        shutil.rmtree(folder, ignore_errors=True)
        (folder / "secrets").mkdir(mode=0o700, parents=True)
        folder.chmod(0o700)
        paths: dict[str, str] = {}
        for secret in secrets:
            path = folder / "secrets" / secret.variable
            path.touch(mode=0o600, exist_ok=False)
            path.write_text(secret.content, "utf-8")
            paths[secret.variable] = str(path)
        return paths

    def forget_secrets(self, instance_id: str) -> None:
        """Remove a dead worker's secrets."""
        shutil.rmtree(self.root / instance_id / "secrets", ignore_errors=True)

    def keep_only(self, known: Collection[str]) -> None:
        """Remove the folders of instances that are no longer known."""
        for folder in self.root.iterdir():
            if folder.name not in known:
                shutil.rmtree(folder, ignore_errors=True)
