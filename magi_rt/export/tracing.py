"""Networks are read into graphs one at a time."""

from __future__ import annotations

import threading

TRACING = threading.Lock()
"""Held while a network is traced: PyTorch's tracers, and the warnings and logs that are silenced
meanwhile, belong to the whole process, so two threads that trace at once spoil both graphs."""
