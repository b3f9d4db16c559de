"""What a read finds: JSON as the database made it, and the position that it holds for."""

from dataclasses import dataclass
from datetime import UTC, datetime


@dataclass(frozen=True, slots=True)
class Found:
    """One answer.

    content: None when there is no such thing. next_key: where the next page begins, if any.
    """

    position: int
    content: bytes | None
    next_key: str | None = None


@dataclass(frozen=True, slots=True)
class Then:
    """The position of the past that a read is answered for.

    recorded_at: when that position was recorded. settled: it will be the same position whenever
    the same is asked. telemetry_kept: what telemetry said then is still in the log.
    """

    position: int
    recorded_at: datetime
    settled: bool = True
    telemetry_kept: bool = True

    def as_json(self) -> bytes:
        """Return what an answer says of the position it holds for."""
        at = self.recorded_at.astimezone(UTC).isoformat(timespec="microseconds")[:-6].encode()
        telemetry = b"kept" if self.telemetry_kept else b"dropped"
        told = (self.position, at, telemetry)
        return b'{"position":%d,"recorded_at":"%bZ","telemetry":"%b"}' % told
