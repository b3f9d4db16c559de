"""READ MODELS: one file each, one line each here, one pair of tables each in the database."""

from services.projector.projections.alerts import ALERTS
from services.projector.projections.asks import ASKS
from services.projector.projections.causes import CAUSES
from services.projector.projections.decisions import DECISIONS
from services.projector.projections.environments import ENVIRONMENTS
from services.projector.projections.gpus import GPUS
from services.projector.projections.history import HISTORY
from services.projector.projections.instances import INSTANCES
from services.projector.projections.leases import LEASES
from services.projector.projections.models import MODELS
from services.projector.projections.names import NAMES
from services.projector.projections.node_reports import NODE_REPORTS
from services.projector.projections.nodes import NODES
from services.projector.projections.queue_history import QUEUE_HISTORY
from services.projector.projections.queues import QUEUES
from services.projector.projections.rebuilds import REBUILDS
from services.projector.projections.strategies import STRATEGIES
from services.projector.projections.webhooks import WEBHOOKS

PROJECTIONS = (
    ENVIRONMENTS,
    MODELS,
    NODES,
    NODE_REPORTS,
    GPUS,
    INSTANCES,
    QUEUES,
    STRATEGIES,
    ALERTS,
    WEBHOOKS,
    NAMES,
    LEASES,
    ASKS,
    REBUILDS,
)
SERIES = (QUEUE_HISTORY, DECISIONS, HISTORY, CAUSES)
READ_MODELS = (*PROJECTIONS, *SERIES)
TYPES = frozenset().union(*(model.types for model in READ_MODELS))
