"""Measurements: a world against a plain implementation, and a stream that runs for long."""
