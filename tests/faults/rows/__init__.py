"""The rows, by what breaks; importing this module fills the registry."""

from tests.faults.rows import broker, control, elsewhere, failover, journal, nodes, postgres

__all__ = ["broker", "control", "elsewhere", "failover", "journal", "nodes", "postgres"]
