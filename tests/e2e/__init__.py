"""Whole fleets, every service a process of its own: one at a time."""
