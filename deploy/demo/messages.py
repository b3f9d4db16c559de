"""What travels through the demo's queues: a request to its model, a result back."""

import json
from dataclasses import asdict, dataclass

RESULTS = "results"


@dataclass(frozen=True, slots=True)
class Work:
    """A request on its way to a worker; published_at: seconds of the epoch."""

    id: str
    model: str
    exec_s: float
    published_at: float

    def encode(self) -> bytes:
        """Return the message's body."""
        return json.dumps(asdict(self)).encode()


@dataclass(frozen=True, slots=True)
class Result:
    """A request that was served: by whom, when it was published, and when its work began."""

    id: str
    model: str
    instance: str
    published_at: float
    begun_at: float
    redelivered: bool = False

    def encode(self) -> bytes:
        """Return the message's body."""
        return json.dumps(asdict(self)).encode()


def decode_work(body: bytes) -> Work:
    """Return the request in a message; raises ValueError, TypeError or KeyError."""
    return Work(**json.loads(body))


def decode_result(body: bytes) -> Result:
    """Return the result in a message; raises ValueError, TypeError or KeyError."""
    return Result(**json.loads(body))


def queue_of(model: str) -> str:
    """Return the name of a model's queue."""
    return f"requests.{model}"
