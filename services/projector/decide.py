"""Which read models are to be rebuilt, and what is to be done about how a build came out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

Because = Literal["asked", "changed", "rewound", "compared"]
BuildState = Literal["building", "indexing", "comparing", "swapping"]


@dataclass(frozen=True, slots=True)
class Made:
    """How a live model was made: of which source, and from no earlier a log than `since`."""

    fingerprint: str
    since: int


@dataclass(frozen=True, slots=True)
class Order:
    """Somebody asked for these models to be rebuilt; no models: for all of them.

    only_compare: to be compared with what is live, and no more.
    """

    rebuild_id: str
    position: int
    models: tuple[str, ...]
    only_compare: bool = False

    @property
    def because(self) -> Because:
        """Why a build for this order is made."""
        return "compared" if self.only_compare else "asked"


@dataclass(frozen=True, slots=True)
class Plan:
    """A build to begin. build_id: the order's, or one of our own."""

    build_id: str
    because: Because
    models: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Build:
    """A build that was begun; models: each with the fingerprint of what it is built with."""

    number: int
    build_id: str
    because: Because
    models: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Difference:
    """Rows of a table that are not what the log says, and some of their keys."""

    table: str
    model: str
    rows: int
    keys: tuple[str, ...]


def changed(made: Mapping[str, Made], today: Mapping[str, str]) -> dict[str, str]:
    """Return the models, with today's fingerprints, that today's projections did not make."""
    return {
        name: fingerprint
        for name, fingerprint in today.items()
        if name not in made or made[name].fingerprint != fingerprint
    }


def unmade(made: Mapping[str, Made], today: Iterable[str]) -> frozenset[str]:
    """Return the models that were never made: they are not there until their first build."""
    return frozenset(today) - made.keys()


def unknown(order: Order, today: Iterable[str]) -> str | None:
    """Return what is wrong with an order that names what is no read model, None if nothing is."""
    names = sorted(today)
    strange = [name for name in order.models if name not in names]
    if not strange:
        return None
    return f"there is no read model {', '.join(strange)}; there are {', '.join(names)}"


def planned(order: Order, because: Because, today: Mapping[str, str]) -> Plan:
    """Return the build that an order asks for."""
    models = {name: today[name] for name in today if not order.models or name in order.models}
    return Plan(order.rebuild_id, because, models)


def is_met(order: Order, made: Mapping[str, Made], today: Mapping[str, str]) -> bool:
    """Tell whether every model asked for was made anew since the order, by another build.

    Then there is nothing to compare either: in a restored place all orders of old are met.
    """
    made_since = {
        name
        for name, each in made.items()
        if each.since >= order.position and each.fingerprint == today.get(name)
    }
    return made_since.issuperset(order.models or today)


def is_current(build: Build, today: Mapping[str, str]) -> bool:
    """Tell whether a build that was interrupted was begun with what the projections are today."""
    return all(today.get(name) == fingerprint for name, fingerprint in build.models.items())


def comparable(build: Build, made: Mapping[str, Made]) -> tuple[str, ...]:
    """Return the models whose old and new rows must be the same: the projection is."""
    if build.because == "rewound":
        return ()
    return tuple(
        name
        for name, fingerprint in build.models.items()
        if name in made and made[name].fingerprint == fingerprint
    )


def verdict(build: Build, differences: Sequence[Difference]) -> str | None:
    """Return what to tell of the differences, None when there is none.

    What the log says is swapped in all the same, unless only a comparison was asked for: it is the
    truth, and the live rows are a copy that went wrong. The old tables stay as evidence.
    """
    if not differences:
        return None
    told = [
        f"{each.rows} rows of {each.table} (such as {', '.join(each.keys)})" for each in differences
    ]
    if build.because == "compared":
        return f"the live read models are not what the log says: {'; '.join(told)}; rebuild them"
    return (
        f"the live read models were not what the log says: {'; '.join(told)}. What the log says is "
        "live now; the old tables are kept to be looked at"
    )
