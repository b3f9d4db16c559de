"""The names of the read models, as people order them to be rebuilt."""

READ_MODELS = (
    "environments",
    "models",
    "nodes",
    "node_reports",
    "gpus",
    "instances",
    "queues",
    "strategies",
    "alerts",
    "webhooks",
    "names",
    "leases",
    "asks",
    "rebuilds",
    "queue_history",
    "decisions",
    "history",
    "causes",
)
