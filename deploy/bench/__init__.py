"""Benchmarks: they measure and print, and never fail for being slow."""
