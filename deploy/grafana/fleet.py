"""The dashboard of the fleet: GPUs, instances, nodes, queues, and how long starts take."""

from grafana_foundation_sdk.builders.dashboard import Dashboard

from deploy.grafana import metrics as m
from deploy.grafana.panels import Panels, board, now, over_time


def dashboard() -> Dashboard:
    """Return it."""
    made = board("quartermaster-fleet", "Quartermaster: fleet", str(__doc__))
    for panel in (*_state(), *_work(), *_hardware()):
        made = made.with_panel(panel)
    return made


def _state() -> Panels:
    return [
        now(
            "GPUs now",
            "Each GPU by the first reason why it may not be given away, or free.",
            "none",
            (m.GPUS.most(m.GPU_STATE), "{{quartermaster_gpu_state}}"),
        ),
        over_time(
            "Instances",
            "Requested, ready, stopping.",
            "short",
            (m.INSTANCES.most(m.INSTANCE_STATE), "{{quartermaster_instance_state}}"),
        ),
        over_time(
            "Nodes",
            "Whether their agents answer.",
            "short",
            (m.NODES.most(m.NODE_STATE), "{{quartermaster_node_state}}"),
        ),
    ]


def _work() -> Panels:
    return [
        over_time(
            "Messages in queues",
            "Waiting or in work, the ten longest queues.",
            "short",
            (f"topk(10, {m.QUEUE.most(m.MODEL_QUEUE)})", "{{messaging_destination_name}}"),
        ),
        over_time(
            "Time to start and to stop",
            "9 of 10 are faster; by outcome.",
            "s",
            (m.DEPLOY.quantile(0.9, m.KIND, m.OUTCOME), "{{quartermaster_event_type}}"),
        ),
        over_time(
            "Starts, stops and kills",
            "Done, by outcome.",
            "ops",
            (m.DEPLOY.rate(m.OUTCOME), "{{quartermaster_event_type}}"),
        ),
    ]


def _hardware() -> Panels:
    busy, used, memory = (
        each.most(m.NODE, "hw.id") for each in (m.GPU_BUSY, m.GPU_USED, m.GPU_MEMORY)
    )
    return [
        over_time(
            "How busy GPUs are",
            "Mean and highest of all.",
            "percentunit",
            (f"avg({busy})", "mean"),
            (f"max({busy})", "highest"),
        ),
        over_time(
            "Memory of GPUs",
            "In use, of what there is.",
            "bytes",
            (f"sum({used})", "in use"),
            (f"sum({memory})", "there is"),
        ),
        over_time(
            "Busiest nodes",
            "Mean over a node's GPUs, the ten highest.",
            "percentunit",
            (f"topk(10, avg by (quartermaster_node_id) ({busy}))", "{{quartermaster_node_id}}"),
        ),
    ]
