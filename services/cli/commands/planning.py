"""What manifests come to at a gateway: compared with what is there, and carried out one by one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from contracts.manifests import ModelManifest, NodeManifest
from services.chassis.errors import Conflict, Unavailable
from services.cli.commands.documents import environments
from services.cli.commands.status import whole
from services.cli.decide.differences import Change, Difference, difference
from services.cli.decide.kinds import KINDS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from services.cli.commands.documents import Document


@dataclass(frozen=True, slots=True)
class Step:
    """One document, and what is to be done for it; position: where that was read."""

    document: Document
    difference: Difference
    id: str | None
    position: int | None

    def as_json(self) -> dict[str, Any]:
        """Return it for programs."""
        return {
            "kind": self.document.manifest.kind,
            "name": self.document.manifest.name,
            "id": self.id,
            "action": self.difference.action,
            "changes": [
                {"field": each.field, "old": each.old, "new": each.new}
                for each in self.difference.changes
            ],
        }


class Plan:
    """What there is, and the steps from there to what is wanted."""

    def __init__(self, gateway: Any, documents: Sequence[Document], *, resend: bool) -> None:
        self._gateway = gateway
        self._lists: dict[str, list[dict[str, Any]]] = {}
        # Where the lists stand at least: whatever changes after it is a conflict, not a surprise.
        status = gateway.get("/status")
        self._position = status["head"] - (status.get("lag") or 0)
        self._made = environments(documents)
        self.steps = [self._step(each, resend=resend) for each in documents]

    @property
    def open(self) -> list[Step]:
        """The steps that change something."""
        return [each for each in self.steps if each.difference.action != "keep"]

    def carry_out(self, step: Step, secrets: Mapping[str, str]) -> dict[str, Any]:
        """Make or change one thing and return it. secrets: the values of its fields."""
        manifest, found = step.document.manifest, step.difference
        path = KINDS[manifest.kind.lower()].path
        body = {**found.body, **secrets}
        if found.action == "create":
            body |= {} if manifest.kind == "Webhook" else {"name": manifest.name}
            body |= self._environment(step.document)
            made: dict[str, Any] = self._gateway.post(path, body)
            return made
        active = body.pop("active", None)
        changed: dict[str, Any] = {"id": step.id}
        if "environment" in body:
            del body["environment"]
            body |= self._environment(step.document)
        if body:
            at = None if "environment_id" in body else step.position
            changed = self._gateway.patch(f"{path}/{step.id}", body, at)
        if active is not None:
            verb = "activate" if active else "deactivate"
            changed = self._gateway.post(f"{path}/{step.id}/{verb}")
        return changed

    def _step(self, document: Document, *, resend: bool) -> Step:
        manifest = document.manifest
        now = self._now(document)
        found = difference(manifest, now, resend=resend)
        if found.fixed:
            detail = "it cannot be changed: delete it and apply again, or use another name"
            raise document.refuse(f"spec.{found.fixed[0]}", detail)
        if isinstance(manifest, NodeManifest) and now is not None:
            found = self._moved(found, now, manifest.environment)
        return Step(document, found, None if now is None else now["id"], self._position)

    def _moved(self, found: Difference, now: dict[str, Any], wanted: str) -> Difference:
        """Return the difference with the environment in it, for a node may move."""
        stands = self._called("environment", now["environment_id"])
        if stands == wanted:
            return found
        changes = (Change("environment", stands, wanted), *found.changes)
        body = {**found.body, "environment": wanted}
        return Difference("change", changes, body, found.secrets, found.kept)

    def _now(self, document: Document) -> dict[str, Any] | None:
        """Return the thing as it is, None where there is none."""
        manifest = document.manifest
        kind = KINDS[manifest.kind.lower()]
        known = self._all(kind.name)
        named = [each for each in known if each[kind.named or "name"] == manifest.name]
        if isinstance(manifest, ModelManifest | NodeManifest):
            within = self._environment_id(document, manifest.environment)
            if isinstance(manifest, ModelManifest):
                named = [each for each in named if each["environment_id"] == within]
        if len(named) > 1:
            ids = ", ".join(each["id"] for each in named)
            detail = f"{document.shown} is there {len(named)} times: {ids}; delete all but one"
            raise Conflict(detail)
        return named[0] if named else None

    def _environment_id(self, document: Document, name: str) -> str | None:
        """Return an environment's id, None for one that is still to be made."""
        found = next((each for each in self._all("environment") if each["name"] == name), None)
        if found is None and name not in self._made:
            raise document.refuse("environment", f"there is no environment {name}, here or there")
        return None if found is None else str(found["id"])

    def _environment(self, document: Document) -> dict[str, str]:
        """Return the environment that a thing is in, now that it has been made."""
        manifest = document.manifest
        if not isinstance(manifest, ModelManifest | NodeManifest):
            return {}
        id_ = self._environment_id(document, manifest.environment)
        if id_ is None:
            self._lists.pop("environment", None)
            id_ = self._environment_id(document, manifest.environment)
        if id_ is None:
            detail = f"environment {manifest.environment} was made and cannot be read yet"
            raise Unavailable(detail)
        return {"environment_id": id_}

    def _called(self, kind: str, id_: str) -> str:
        return next((str(each["name"]) for each in self._all(kind) if each["id"] == id_), id_)

    def _all(self, kind: str) -> list[dict[str, Any]]:
        if kind not in self._lists:
            self._lists[kind] = whole(self._gateway, KINDS[kind].path, {})["items"]
        return self._lists[kind]
