"""Adapters of the console: the gateway."""
