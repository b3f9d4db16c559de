"""Models: registered with their queue and its secret, changed, deleted."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from contracts.envelope import Draft
from contracts.events.control import SecretRotated
from contracts.events.model import ModelDeleted, ModelRegistered, ModelUpdated
from contracts.types import SecretRef
from services.gateway.decide import joining, names
from services.gateway.decide.plain import Plain
from services.gateway.decide.verdicts import (
    CREATED,
    Decision,
    Denial,
    Given,
    SecretWanted,
    Verdict,
    unknown,
)
from services.gateway.state import stream_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from contracts.http.models import ModelChanges, NewModel
    from contracts.types import Launch
    from services.gateway.state import State, Subject

KIND: Final = "model"
READERS = ("queue_sampler", "deployer")
# What people send, and where the event keeps it in `queue`.
QUEUE = {
    "rabbitmq_host": "host",
    "rabbitmq_port": "port",
    "rabbitmq_amqp_port": "amqp_port",
    "rabbitmq_vhost": "vhost",
    "rabbitmq_queue_name": "name",
    "rabbitmq_username": "username",
}
_RENAMED = {"average_inference_time": "average_inference_time_s"}


@dataclass(frozen=True)
class RegisterModel:
    """POST /models. launch: what starts it where the request does not say."""

    new: NewModel
    launch: Launch

    def touches(self, state: State) -> tuple[str, ...]:
        """Return the environment's stream and the name's."""
        del state
        name = _scoped(self.new.environment_id, self.new.name)
        return (stream_of("environment", self.new.environment_id), names.name_stream(KIND, name))

    def secret_wanted(self, given: Given) -> SecretWanted | None:
        """Return the broker password's place, if one was sent."""
        password = self.new.rabbitmq_password
        sent = password is not None and password.get_secret_value()
        return _secret(f"mdl-{given.fresh}") if sent else None

    def decide(self, state: State, given: Given) -> Verdict:
        """Move in, claim the name within the environment, register the model, note its secret."""
        id_ = f"mdl-{given.fresh}"
        joined = joining.join(state, self.new.environment_id, KIND, id_)
        if isinstance(joined, Denial):
            return joined
        data = {
            "model_id": id_,
            "launch": self.launch.model_dump(),
            "queue": {},
            **_as_events_have_it(self.new.model_dump(exclude={"rabbitmq_password"})),
        }
        data["queue"]["password"] = given.secret.model_dump() if given.secret else None
        if (wrong := _does_not_fit(data)) is not None:
            return wrong
        claimed = names.claim(state, KIND, _scoped(data["environment_id"], data["name"]), id_)
        if isinstance(claimed, Denial):
            return claimed
        event = ModelRegistered.model_validate(data)
        registered = Draft(stream_of(KIND, id_), event, expected_version=0)
        drafts = (*joined, *claimed, *_rotated(given.secret), registered)
        return Decision(drafts, CREATED, shows=(KIND, id_))


@dataclass(frozen=True)
class ChangeModel:
    """PUT or PATCH /models/{id}."""

    model_id: str
    changes: ModelChanges

    def touches(self, state: State) -> tuple[str, ...]:
        """Return the model's stream, and those of a new name and environment."""
        known = state.find(KIND, self.model_id)
        sent = self.changes.given()
        if known is None:
            return (stream_of(KIND, self.model_id),)
        environment = sent.get("environment_id", known.data["environment_id"])
        name = _scoped(environment, sent.get("name", known.data["name"]))
        moved = (stream_of("environment", environment),) if "environment_id" in sent else ()
        return (stream_of(KIND, self.model_id), names.name_stream(KIND, name), *moved)

    def secret_wanted(self, given: Given) -> SecretWanted | None:
        """Return the broker password's place, if a new one was sent."""
        del given
        password = self.changes.rabbitmq_password
        sent = password is not None and password.get_secret_value()
        return _secret(self.model_id) if sent else None

    def decide(self, state: State, given: Given) -> Verdict:
        """Change what was sent and nothing else; nothing sent, nothing recorded."""
        known = state.find(KIND, self.model_id)
        if known is None:
            return unknown(KIND, self.model_id)
        changed = self._changed(known.data, given.secret)
        moved_to = changed["environment_id"]
        moved = joining.move(state, known.data["environment_id"], moved_to, KIND, self.model_id)
        if isinstance(moved, Denial):
            return moved
        if (wrong := _does_not_fit(changed)) is not None:
            return wrong
        shown: Subject = (KIND, self.model_id)
        if changed == known.data:
            return Decision((), shows=shown)
        old, new = (_scoped(each["environment_id"], each["name"]) for each in (known.data, changed))
        renamed = names.rename(state, KIND, old, new, self.model_id)
        if isinstance(renamed, Denial):
            return renamed
        stream = stream_of(*shown)
        event = ModelUpdated.model_validate(changed)
        updated = Draft(stream, event, expected_version=state.version_of(stream))
        drafts = (*moved, *renamed, *_rotated(given.secret), updated)
        return Decision(drafts, shows=shown, drops=_taken_away(known.data, changed))

    def _changed(self, known: Mapping[str, Any], secret: SecretRef | None) -> dict[str, Any]:
        sent = self.changes.model_dump(exclude={"rabbitmq_password"}, exclude_unset=True)
        if sent.get("launch", ...) is None:
            del sent["launch"]
        changes = _as_events_have_it(sent)
        queue = {**known["queue"], **changes.pop("queue")}
        if secret is not None:
            queue["password"] = secret.model_dump()
        elif "rabbitmq_password" in self.changes.model_fields_set and (
            self.changes.rabbitmq_password is None
        ):
            queue["password"] = None
        return {**known, **changes, "queue": queue}


@dataclass(frozen=True)
class DeleteModel(Plain):
    """DELETE /models/{id}; its instances are stopped by the scheduler."""

    model_id: str

    def touches(self, state: State) -> tuple[str, ...]:
        """Return the model's stream."""
        del state
        return (stream_of(KIND, self.model_id),)

    def decide(self, state: State, given: Given) -> Verdict:
        """Delete it, free its name, and let its secret be forgotten."""
        del given
        known = state.find(KIND, self.model_id)
        if known is None:
            return unknown(KIND, self.model_id)
        stream = stream_of(KIND, self.model_id)
        environment = known.data["environment_id"]
        event = ModelDeleted(model_id=self.model_id, environment_id=environment)
        deleted = Draft(stream, event, expected_version=state.version_of(stream))
        name = _scoped(environment, known.data["name"])
        # Also of a model that has no password now: it may have had one.
        password = known.data["queue"].get("password") or {}
        secrets = (_secret(self.model_id).secret_id, password.get("secret_id"))
        return Decision(
            (deleted, *names.release(state, KIND, name)),
            answer={"id": self.model_id, "deleted": True},
            forgets=tuple(dict.fromkeys(each for each in secrets if each)),
        )


def _scoped(environment_id: str, name: str) -> str:
    """Return a model's name as it is unique: within its environment."""
    return f"{environment_id}.{name}"


def _secret(model_id: str) -> SecretWanted:
    return SecretWanted(f"{model_id}.rabbitmq", "the password of a model's queue", READERS)


def _rotated(secret: SecretRef | None) -> tuple[Draft, ...]:
    if secret is None:
        return ()
    event = SecretRotated(
        secret_id=secret.secret_id,
        version=secret.version,
        purpose="the password of a model's queue",
    )
    return (Draft(f"secret/{secret.secret_id}", event),)


def _taken_away(known: Mapping[str, Any], changed: Mapping[str, Any]) -> tuple[SecretRef, ...]:
    """Return the password that a model had and has no more; one that was replaced may be in use."""
    password = known["queue"].get("password")
    is_gone = password is not None and changed["queue"].get("password") is None
    return (SecretRef.model_validate(password),) if is_gone else ()


def _as_events_have_it(sent: Mapping[str, Any]) -> dict[str, Any]:
    """Return what was sent under the events' names, the queue's parts together."""
    plain = {name: value for name, value in sent.items() if name not in QUEUE and value is not None}
    data = {_RENAMED.get(name, name): value for name, value in plain.items()}
    return {**data, "queue": {QUEUE[name]: value for name, value in sent.items() if name in QUEUE}}


def _does_not_fit(data: Mapping[str, Any]) -> Denial | None:
    if data["min_instances"] > data["max_instances"]:
        detail = f"it is more than max_instances, {data['max_instances']}"
        return Denial("refused", detail, "min_instances")
    return None
