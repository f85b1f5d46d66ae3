"""Measurements: a world against a plain implementation, and a stream that runs for long."""

from __future__ import annotations

LEAST_WORLD_CHUNKS = 8
LEAST_ENDURANCE_CHUNKS = 40
