"""Read models held against the log: what was changed behind the projector's back is named."""

import orjson
import pytest

from contracts.events.control import RebuildAsked
from services.chassis.clock import SystemClock
from services.chassis.database import connect_pool
from services.projector.service import Parts, Sizes
from services.projector.state import Checkpoint, Rewound
from tests import fleet
from tests.platform import new_database
from tests.recorded import put, recorded

ORDER = ("rebuild/reb-1", RebuildAsked(rebuild_id="reb-1", only_compare=True))


class Place:
    """A database that is projected, and what its projector says of its health."""

    def __init__(self, database, owner, projector) -> None:
        self.database, self.owner = database, owner
        self.parts, self.health = Parts(projector, Sizes()), []
        said = self.health.append
        self.rebuilder = self.parts.rebuilder(SystemClock(), lambda *told: said(told))

    async def tables(self):
        rows = await self.owner.fetch(
            "select relname from pg_class where relnamespace = 'rm'::regnamespace and relkind = 'r'"
        )
        return {row["relname"] for row in rows}

    async def compared(self):
        await self.rebuilder.look()
        row = await self.owner.fetchrow("select * from rm.builds where build_id = 'reb-1'")
        return row["state"], row["because"], orjson.loads(row["differences"])


@pytest.fixture
async def place(engines):
    made = new_database(engines)
    owner = await connect_pool(made.owner_url(), service="test", min_size=1, max_size=2)
    projector = await connect_pool(made.url("projector"), service="projector", max_size=4)
    place = Place(made, owner, projector)
    before = recorded(a_life())
    await put(owner, before)
    await place.rebuilder.begin()
    await put(owner, recorded([ORDER], after=before))
    await place.parts.live.catch_up()
    yield place
    await owner.close()
    await projector.close()
    made.drop()


def a_life():
    yield from (fleet.an_environment(), fleet.a_model(), fleet.a_node(), fleet.came_online())
    yield from (fleet.inventory(), fleet.reported(), fleet.sampled())
    for number in range(5):
        yield fleet.allocated("GPU-n1-0", f"i-{number}")
        yield fleet.start_requested(f"i-{number}")
        yield fleet.freed("GPU-n1-0", f"i-{number}")


async def test_read_models_that_are_the_fold_of_the_log_are_found_so(place):
    before = await place.tables()
    assert await place.compared() == ("done", "compared", [])
    assert await place.tables() == before
    assert place.health[-1][1] is True


CHANGES = {
    "update rm.models set row = row || '{\"max_instances\": 99}'": ("models", 1),
    "delete from rm.instances where key = 'i-3'": ("instances", 1),
    "update rm.nodes set position = position + 1": ("nodes", 1),
    "insert into rm.names (key, position, row) values ('node/ghost', 1, '{}')": ("names", 1),
    "delete from rm.gpus_history where to_position = 10": ("gpus_history", 1),
    "update rm.queue_history set row = row || '{\"length\": 7}'": ("queue_history", 1),
}


async def test_whatever_differs_is_named_and_left_to_be_mended(place):
    for change in CHANGES:
        place.database.superuser_sql(change)
    before = await place.tables()
    state, _, differences = await place.compared()
    assert state == "done"
    assert sorted((each["table"], each["rows"]) for each in differences) == sorted(CHANGES.values())
    assert [each["keys"] for each in differences if each["table"] == "instances"] == [["i-3"]]
    assert await place.tables() == before
    assert await place.owner.fetchval("select count(*) from rm.names") == 1
    _, is_well, told = place.health[-1]
    assert not is_well
    assert "are not what the log says" in told


async def test_an_order_from_before_the_read_models_were_made_is_met(place):
    await place.owner.execute("update rm.versions set since = 100")
    assert await place.compared() == ("done", "compared", [])
    assert await place.owner.fetchval("select position from rm.builds") == 0


async def test_a_comparison_is_no_order_to_follow_a_log_that_was_rewound(place):
    await place.owner.execute("delete from rm.rebuilds")
    place.parts.live.rewound = Rewound(Checkpoint(900, "e"), None)
    await place.rebuilder.look()
    assert await place.owner.fetch("select from rm.builds") == []
