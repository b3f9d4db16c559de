"""Dashboards and alert rules, made from Python."""
