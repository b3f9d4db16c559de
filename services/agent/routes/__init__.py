"""The agent's HTTP routes."""
