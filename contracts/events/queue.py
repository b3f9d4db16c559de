"""Queues: how much waits for each model."""

from typing import Literal

from contracts.envelope import Event
from contracts.types import Count, ModelId, Text


class QueueSampled(Event):
    """A queue's length at one moment (telemetry).

    length = ready + unacknowledged (messages). published_total: messages ever published to it,
    where the broker counts them, so that a request that came and went between samples is seen.
    """

    type = "queue.sampled"
    model_id: ModelId
    length: Count
    ready: Count
    unacknowledged: Count
    source: Literal["management", "probe"] = "management"
    consumers: Count = 0
    published_total: Count | None = None


class QueueUnreachable(Event):
    """A model's queue cannot be read, and this is why."""

    type = "queue.unreachable"
    model_id: ModelId
    code: Literal["unauthorized", "not_found", "unreachable", "bad_answer", "no_secret"]
    detail: Text


class QueueRecovered(Event):
    """A model's queue can be read again."""

    type = "queue.recovered"
    model_id: ModelId
