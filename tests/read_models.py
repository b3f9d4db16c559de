"""Read models in a database of a test: filled, emptied, and compared as a whole."""

from services.projector.projections import PROJECTIONS, READ_MODELS
from tests import fleet
from tests.recorded import recorded


def some_history():
    story = [fleet.an_environment(), fleet.a_model(), fleet.a_node(), fleet.came_online()]
    story += [fleet.inventory(), fleet.reported(), fleet.sampled()]
    for number in range(30):
        instance = f"i-{number}"
        story += [fleet.allocated("GPU-n1-0", instance), fleet.start_requested(instance)]
        story += [fleet.sampled(length=number), fleet.freed("GPU-n1-0", instance)]
    return recorded(story)


async def everything(owner):
    """Return all rows of all read models, comparable, without when they were written."""
    tables = [model.name for model in READ_MODELS]
    tables += [f"{model.name}_history" for model in PROJECTIONS if model.versioned]
    found = {}
    for table in tables:
        rows = await owner.fetch(f"select * from rm.{table} order by 1, 2, 3")
        found[table] = [tuple(row.values()) for row in rows]
    stands = await owner.fetchrow("select position, event_id from rm.checkpoints")
    return found, tuple(stands.values())


async def reset(owner):
    for model in READ_MODELS:
        await owner.execute(f"truncate rm.{model.name}")
        if model in PROJECTIONS and model.versioned:
            await owner.execute(f"truncate rm.{model.name}_history")
    await owner.execute("update rm.checkpoints set position = 0, event_id = null")
