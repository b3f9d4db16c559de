"""What waits for each model, and how it went lately."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from services.console.decide.places import page_of
from services.console.decide.reasons import sentence
from services.console.decide.spark import Spark, spark
from services.console.decide.spoken import duration, moment, number, words

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import datetime

_UNREACHABLE = {
    "unauthorized": "its broker does not take this user and password",
    "not_found": "its broker has no such queue",
    "unreachable": "its broker does not answer",
    "bad_answer": "its broker's answer cannot be read",
    "no_secret": "its password is not known",
}


@dataclass(frozen=True)
class ModelRow:
    """A model, its queue and its instances in one line."""

    id: str
    name: str
    environment_id: str
    colour: int | None
    ready: int
    starting: int
    stopping: int
    floor: int
    most: int
    state: str
    state_words: str
    because: str
    length: str
    waiting: int
    mean: str
    wait: str
    wait_s: float
    error: str
    picture: Spark | None

    @property
    def page(self) -> str:
        """Where more is said of it."""
        return page_of("model", self.id) or "/"


def model_rows(
    models: Iterable[Mapping[str, Any]],
    queues: Iterable[Mapping[str, Any]],
    samples: Mapping[str, Sequence[Mapping[str, Any]]],
    of_model: Mapping[str, int],
    stretch: tuple[datetime, datetime],
) -> list[ModelRow]:
    """Return a line for every model; samples by model."""
    by_model = {str(each["model_id"]): each for each in queues}
    return [
        _row(
            each,
            by_model.get(str(each["id"]), {}),
            samples.get(str(each["id"]), ()),
            of_model,
            stretch,
        )
        for each in models
    ]


def _row(
    model: Mapping[str, Any],
    queue: Mapping[str, Any],
    samples: Sequence[Mapping[str, Any]],
    of_model: Mapping[str, int],
    stretch: tuple[datetime, datetime],
) -> ModelRow:
    instances = model.get("instances") or {}
    ready = int(instances.get("ready") or 0)
    mean = queue.get("mean_length_5m")
    each_s = float(model.get("average_inference_time") or 0.0)
    wait_s = float(mean or 0.0) * each_s / max(1, ready)
    state, state_words, because = model_state(model)
    return ModelRow(
        id=str(model["id"]),
        name=str(model.get("name") or model["id"]),
        environment_id=str(model.get("environment_id") or ""),
        colour=of_model.get(str(model["id"])),
        ready=ready,
        starting=int(instances.get("requested") or 0),
        stopping=int(instances.get("stopping") or 0),
        floor=int(model.get("min_instances") or 0),
        most=int(model.get("max_instances") or 0),
        state=state,
        state_words=state_words,
        because=because,
        length=number(queue.get("length")),
        waiting=int(queue.get("length") or 0),
        mean=number(mean),
        wait=duration(wait_s) if mean is not None else duration(None),
        wait_s=wait_s,
        error=_unreachable(queue),
        picture=spark(points(samples), stretch[0].timestamp(), stretch[1].timestamp()),
    )


def _unreachable(queue: Mapping[str, Any]) -> str:
    """Return in words why a queue cannot be read, nothing where it can."""
    if queue.get("reachable") is not False:
        return ""
    error = queue.get("error") or {}
    code, detail = (str(error.get(each) or "") for each in ("code", "detail"))
    said = _UNREACHABLE.get(code, words(code)) or "nobody knows why"
    return f"{said} ({detail.rstrip('.')})" if detail else said


def by_need(rows: Iterable[ModelRow]) -> list[ModelRow]:
    """Return models, those first whose requests wait longest."""
    return sorted(rows, key=lambda row: (-row.wait_s, row.name))


def model_state(model: Mapping[str, Any]) -> tuple[str, str, str]:
    """Return how a model is: a code for its colour, words, and why."""
    instances = model.get("instances") or {}
    unmet, deferred = model.get("floor_unmet"), model.get("deferred")
    if unmet:
        return "bad", "below its floor", sentence(unmet.get("reason"))
    if deferred and (deferred.get("reason") or {}).get("code") != "no_longer_wanted":
        return "warn", "wants more", sentence(deferred.get("reason"))
    if instances.get("ready"):
        return "good", "serving", ""
    if instances.get("requested"):
        return "busy", "starting", ""
    return "quiet", "not running", ""


def points(samples: Iterable[Mapping[str, Any]]) -> list[tuple[float, float]]:
    """Return (time, length) of samples, oldest first."""
    found = [
        (at.timestamp(), float(each.get("length") or 0))
        for each in samples
        if (at := moment(each.get("sampled_at")))
    ]
    return sorted(found)


def chart(samples: Sequence[Mapping[str, Any]]) -> dict[str, list[float | None]]:
    """Return what the large chart draws: times, all that is queued, and what is in work of it."""
    ordered = sorted(samples, key=lambda each: str(each.get("sampled_at")))
    times = [at.timestamp() for each in ordered if (at := moment(each.get("sampled_at")))]
    return {
        "at": list(times),
        "length": [each.get("length") for each in ordered],
        "unacknowledged": [each.get("unacknowledged") for each in ordered],
        "consumers": [each.get("consumers") for each in ordered],
    }
