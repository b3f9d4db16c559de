"""Alerter: what should wake someone, said once, and carried to every webhook."""
