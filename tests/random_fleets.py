"""Random lives of a small fleet: whatever may be recorded of it, in any order."""

from hypothesis import strategies as st

from contracts.events.instance import (
    InstanceDied,
    InstanceStarted,
    InstanceStartFailed,
    InstanceStopped,
    InstanceStopRequested,
)
from contracts.events.model import ModelDeleted, ModelUpdated
from contracts.events.node import NodeDeleted, NodeHeartbeat, NodeUpdated
from tests import fleet

NODES, MODELS, INSTANCES = ("n1", "n2"), ("llama", "qwen"), ("i-1", "i-2", "i-3")
KINDS = (
    InstanceStarted,
    InstanceStartFailed,
    InstanceStopRequested,
    InstanceStopped,
    InstanceDied,
)


def _told(draw) -> fleet.Said:
    node, model = draw(st.sampled_from(NODES)), draw(st.sampled_from(MODELS))
    instance, gpu = draw(st.sampled_from(INSTANCES)), fleet.gpu_of(node, draw(st.integers(0, 1)))
    choices = (
        lambda: fleet.an_environment(name=model),
        lambda: fleet.a_model(model),
        lambda: fleet.a_model(model, ModelUpdated, max_instances=3),
        lambda: (f"model/{model}", ModelDeleted(model_id=model)),
        lambda: fleet.a_node(node),
        lambda: fleet.a_node(node, NodeUpdated, available_gpu_ids=(1,)),
        lambda: (f"node/{node}", NodeDeleted(node_id=node)),
        lambda: (f"node-reports/{node}", NodeHeartbeat(node_id=node)),
        lambda: fleet.inventory(node, gpus=draw(st.integers(0, 3))),
        lambda: fleet.came_online(node),
        lambda: fleet.went_offline(node),
        lambda: fleet.reported(node),
        lambda: fleet.allocated(gpu, instance, node=node, model=model),
        lambda: fleet.freed(gpu, instance, node=node),
        lambda: fleet.quarantined(gpu, node=node),
        lambda: fleet.released(gpu, node=node),
        lambda: fleet.start_requested(instance, model=model, node=node, ask_id="ask-1"),
        lambda: fleet.of_instance(draw(st.sampled_from(KINDS)), instance, model=model, node=node),
        lambda: fleet.sampled(model, draw(st.integers(0, 99))),
        lambda: fleet.unreachable(model),
        lambda: fleet.recovered(model),
        lambda: fleet.floor_unmet(model),
        lambda: fleet.floor_met(model),
        lambda: fleet.deferred(model),
        lambda: fleet.raised(f"node_offline:{node}"),
    )
    return draw(st.sampled_from(choices))()


HISTORY = st.composite(lambda draw: [_told(draw) for _ in range(draw(st.integers(0, 60)))])()
