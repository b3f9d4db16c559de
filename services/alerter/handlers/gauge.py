"""Ask the journal how far others are behind, and remember since when all was well."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime

import structlog

from services.alerter.decide import well_since
from services.alerter.handlers.ports import Heard, Journal
from services.alerter.state import Lag, View
from services.chassis.clock import Clock
from services.chassis.errors import QuartermasterError, Refused, Unavailable

log = structlog.get_logger(__name__)


@dataclass
class Gauge:
    """What the journal last said; nothing, as soon as it does not answer."""

    journal: Journal
    look: Callable[[Lag | None, Mapping[str, datetime]], View]
    lag: Lag | None = None
    well_since: Mapping[str, datetime] = field(default_factory=dict)

    async def watch(self, clock: Clock, every_s: float) -> None:
        """Ask for ever."""
        while True:
            await self.ask()
            await clock.sleep(every_s)

    async def ask(self) -> None:
        """Ask once; what is not known is not judged."""
        before, self.lag = self.lag, None
        try:
            said = await self.journal.lag()
        except (Refused, Unavailable) as error:
            log.info("lag not known", because=_detail(error))
            return
        is_stuck = (
            before is not None
            and said.published_behind_s > 0
            and before.published == said.published
        )
        self.lag = replace(said, stuck=is_stuck)
        self.well_since = well_since(self.view())

    def view(self) -> View:
        """Return what rules look at now."""
        return self.look(self.lag, self.well_since)


def _detail(error: QuartermasterError) -> str:
    return error.detail


@dataclass(frozen=True, slots=True)
class Ears:
    """Whether the log speaks: beacons arrive, and what is recorded is published as well."""

    follower: Heard
    gauge: Gauge

    @property
    def live(self) -> bool:
        """Whether runs and beacons arrive, and the journal does not only count."""
        lag = self.gauge.lag
        return self.follower.live and not (lag is not None and lag.stuck)
