"""What differs between a manifest and what there is: only what the manifest names is compared."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from contracts.manifests import Secret, StrategyManifest

if TYPE_CHECKING:
    from collections.abc import Mapping

    from contracts.manifests import Manifest

Action = Literal["create", "change", "keep"]
FIXED = {"Strategy": frozenset({"policy"}), "Webhook": frozenset({"kind"})}
# Whether there is a secret already; what it is, nobody is told.
_KEPT_SECRETS = {
    "rabbitmq_password": "has_rabbitmq_password",
    "secret": "has_secret",
    "bearer_token": "has_secret",
}


@dataclass(frozen=True, slots=True)
class Change:
    """One field; old is None for what is new."""

    field: str
    old: Any
    new: Any


@dataclass(frozen=True, slots=True)
class Difference:
    """What a manifest comes to.

    body: what is sent. secrets: fields that are sent besides, and the variable each comes from.
    kept: secrets that are there already and are not sent. fixed: fields that cannot be changed.
    """

    action: Action
    changes: tuple[Change, ...] = ()
    body: Mapping[str, Any] = field(default_factory=dict)
    secrets: Mapping[str, str] = field(default_factory=dict)
    kept: tuple[str, ...] = ()
    fixed: tuple[str, ...] = ()


def given(manifest: Manifest) -> dict[str, Any]:
    """Return the fields of its spec that a manifest names, as JSON; secrets are left out."""
    spec = manifest.spec
    named = spec.model_fields_set - _secrets_of(manifest).keys()
    dumped = spec.model_dump(mode="json", include=set(named))
    return {name: value for name, value in dumped.items() if (name, value) != ("launch", None)}


def difference(
    manifest: Manifest, now: Mapping[str, Any] | None, *, resend: bool = False
) -> Difference:
    """Return what is to be done. now: the thing as it is, None where there is none.

    resend: secrets are sent although there are some; whether they differ cannot be told.
    """
    wanted, sources = given(manifest), _secrets_of(manifest)
    if now is None:
        changes = (
            *(Change(name, None, value) for name, value in wanted.items()),
            *(Change(name, None, f"(from ${variable})") for name, variable in sources.items()),
        )
        return Difference("create", changes, wanted, sources)
    if isinstance(manifest, StrategyManifest) and "parameters" in wanted:
        wanted["parameters"] = _parameters(wanted["parameters"], now.get("parameters") or {})
    differ = {name: value for name, value in wanted.items() if _differs(name, value, now)}
    fixed = tuple(name for name in differ if name in FIXED.get(manifest.kind, ()))
    there = {name for name in sources if now.get(_KEPT_SECRETS[name])}
    secrets = {name: each for name, each in sources.items() if resend or name not in there}
    changes = (
        *(Change(name, now.get(name), value) for name, value in differ.items()),
        *(Change(name, None, f"(from ${variable})") for name, variable in secrets.items()),
    )
    action: Action = "change" if changes else "keep"
    kept = tuple(sorted(there - secrets.keys()))
    return Difference(action, changes, differ, secrets, kept, fixed)


def _secrets_of(manifest: Manifest) -> dict[str, str]:
    """Return the fields that are secrets, and the variables they come from."""
    spec = manifest.spec
    found = {name: getattr(spec, name) for name in _KEPT_SECRETS if hasattr(spec, name)}
    return {name: each.value_from.env for name, each in found.items() if isinstance(each, Secret)}


def _differs(name: str, value: Any, now: Mapping[str, Any]) -> bool:
    if name in _KEPT_SECRETS:  # null: none is wanted
        return bool(now.get(_KEPT_SECRETS[name]))
    if name == "policy" and value is None:
        return False
    if name == "parameters":
        return bool(value)
    return bool(now.get(name) != value)


def _parameters(wanted: Mapping[str, Any], now: Mapping[str, Any]) -> dict[str, Any]:
    """Return the parameters that differ; null is the default, which is not stored."""
    return {name: value for name, value in wanted.items() if now.get(name) != value}
