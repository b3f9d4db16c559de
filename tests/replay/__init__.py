"""Replay: recorded histories, and what was made of them when they were recorded."""
