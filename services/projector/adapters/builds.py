"""What is known of builds and orders: which there are, how far they are, what came of them."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson

from services.chassis.database import Queries
from services.projector.adapters.read_models import table_of
from services.projector.decide import Build, Difference, Made, Order

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from services.chassis.database import Database, Statements
    from services.projector.decide import BuildState, Plan

_QUERIES = Queries(Path(__file__).parents[1] / "queries.sql")


class PostgresBuilds:
    """Builds in PostgreSQL.

    trimmed: models that keep their newest `series_length` entries of each key only; forgetful:
    those whose telemetry goes.
    """

    def __init__(
        self,
        database: Database,
        *,
        trimmed: Sequence[str],
        series_length: int,
        forgetful: Sequence[str],
    ) -> None:
        self._database, self._series_length = database, series_length
        self._trimmed, self._forgetful = list(trimmed), frozenset(forgetful)

    async def made(self) -> Mapping[str, Made]:
        """Return how each live model was made."""
        rows = await self._database.fetch(_QUERIES["versions"])
        return {row["model"]: Made(row["fingerprint"], row["since"]) for row in rows}

    async def settle(self, fingerprints: Mapping[str, str]) -> None:
        """Note, where nothing is projected yet, that all will be by today's projections."""
        await self._database.execute(
            _QUERIES["settle"], list(fingerprints), list(fingerprints.values())
        )

    async def orders(self) -> Sequence[Order]:
        """Return the orders that no build answers yet, oldest first."""
        return [_order(row) for row in await self._database.fetch(_QUERIES["orders"])]

    async def orders_after_rewind(self) -> Sequence[Order]:
        """Return the orders in the log that the live read models have not folded."""
        return [_order(row) for row in await self._database.fetch(_QUERIES["unfolded_orders"])]

    async def unfinished(self) -> Build | None:
        """Return a build that was begun and is not over."""
        row = await self._database.fetchrow(_QUERIES["unfinished_build"])
        return None if row is None else _build(row)

    async def begin(self, plan: Plan) -> Build:
        """Make a build with its empty tables."""
        names, fingerprints = list(plan.models), list(plan.models.values())
        number = await self._database.fetchval(
            _QUERIES["begin_build"], plan.build_id, plan.because, names, fingerprints
        )
        return Build(number, plan.build_id, plan.because, plan.models)

    async def answer(self, plan: Plan, problem: str | None) -> None:
        """Note what came of an order without a build: it was met already, or cannot be."""
        await self._database.execute(
            _QUERIES["answer_order"],
            plan.build_id,
            plan.because,
            list(plan.models),
            list(plan.models.values()),
            problem,
        )

    async def tell(self, build: Build, state: BuildState, problem: str | None = None) -> None:
        """Note what a build is doing, and what keeps it from going on."""
        await self._database.execute(_QUERIES["tell_build"], build.number, state, problem)

    async def index(self, build: Build) -> None:
        """Make the indexes of a build's tables."""
        await self._database.execute(_QUERIES["index_build"], build.number)

    async def trim(self, build: Build) -> None:
        """Trim what was only appended to so far."""
        for model in self._trimmed:
            if model in build.models:
                table = table_of(model, build.number)
                sql = _QUERIES["trim_all"].format(model=table)
                await self._database.execute(sql, self._series_length)

    async def carry_over(self, build: Build, models: Sequence[str]) -> None:
        """Take over from these models what only telemetry could tell that was dropped since."""
        sealed = await self._sealed()
        for model in models:
            if sealed and model in self._forgetful:
                await self._database.execute(_QUERIES["carry_over"], build.number, model, sealed)

    async def differences(self, build: Build, models: Sequence[str]) -> Sequence[Difference]:
        """Return how a build differs from the live tables; both stand at the same position.

        Rows that forgotten telemetry had a part in are not compared: the log cannot tell.
        """
        sealed = await self._sealed()
        compared = [
            model
            for model in models
            if not sealed or model not in self._forgetful or model in self._trimmed
        ]
        # Two at a time: each looks at one moment, and no row of one model is compared with another.
        halves = await asyncio.gather(
            *(
                self._database.fetch(
                    _QUERIES["differences"], build.number, half, self._trimmed, sealed
                )
                for half in (compared[::2], compared[1::2])
            )
        )
        return [_difference(row, models) for rows in halves for row in rows]

    async def swap_in(
        self, build: Build, differences: Sequence[Difference], *, rewound: bool
    ) -> None:
        """Make a build's tables the live ones; raises Unavailable while readers hold them."""
        async with self._database.transaction() as tx:
            await _note(tx, build, differences)
            evidence = sorted({each.model for each in differences})
            await tx.execute(_QUERIES["swap_in"], build.number, evidence, rewound)

    async def conclude(self, build: Build, differences: Sequence[Difference]) -> None:
        """Note how a build that was made to be compared differs, and drop its tables."""
        async with self._database.transaction() as tx:
            await _note(tx, build, differences)
            await tx.execute(_QUERIES["drop_compared"], build.number)

    async def give_up(self, build: Build, problem: str) -> None:
        """Drop a build's tables."""
        await self._database.execute(_QUERIES["give_up_build"], build.number, problem)

    async def drop_replaced(self, grace_s: float) -> Sequence[str]:
        """Drop tables that were replaced so long ago; return their names."""
        rows = await self._database.fetch(_QUERIES["drop_replaced"], grace_s)
        return [row["name"] for row in rows]

    async def _sealed(self) -> int:
        return int(await self._database.fetchval(_QUERIES["sealed"]) or 0)


async def _note(tx: Statements, build: Build, differences: Sequence[Difference]) -> None:
    told = [{"table": each.table, "rows": each.rows, "keys": each.keys} for each in differences]
    await tx.execute(_QUERIES["note_differences"], build.number, orjson.dumps(told))


def _order(row: Any) -> Order:
    data = orjson.loads(row["data"])
    return Order(
        data["rebuild_id"],
        row["position"],
        tuple(data.get("models", ())),
        data.get("only_compare", False),
    )


def _build(row: Any) -> Build:
    models = dict(zip(row["models"], row["fingerprints"], strict=True))
    return Build(row["build"], row["build_id"], row["because"], models)


def _difference(row: Any, models: Sequence[str]) -> Difference:
    table = row["name"]
    model = table if table in models else table.removesuffix("_history")
    return Difference(table, model, row["rows"], tuple(dict.fromkeys(row["keys"])))
