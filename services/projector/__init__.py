"""Projector: folds the event log into the read models that the query service exposes."""
