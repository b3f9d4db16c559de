"""Releases: logs as each release wrote them, and the schemas that it promised."""
