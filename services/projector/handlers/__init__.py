"""The projector at work: the live read models go on, and new versions are built beside them."""

from services.projector.handlers.projecting import BATCH, Projector, Stuck
from services.projector.handlers.rebuilding import Rebuilder

__all__ = ["BATCH", "Projector", "Rebuilder", "Stuck"]
