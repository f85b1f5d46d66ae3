"""How much memory can still be taken, as far as the system tells."""

from __future__ import annotations

import ctypes
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

MEMINFO = Path("/proc/meminfo")


def free_on(device: torch.device) -> int | None:
    """Bytes that can still be taken on a device, ``None`` where no system tells.

    On a card, what PyTorch holds in reserve is free too; on a CPU see :func:`free_in_main`.
    """
    if device.type != "cuda":
        return free_in_main()
    from torch import cuda

    reserve = cuda.memory_reserved(device) - cuda.memory_allocated(device)
    return int(cuda.mem_get_info(device)[0]) + reserve


def free_in_main() -> int | None:
    """Bytes of main memory that can be taken without swapping; all there is on macOS."""
    if sys.platform == "win32":
        return _free_on_windows()
    told = _meminfo("MemAvailable")
    if told is not None:
        return told
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, OSError, ValueError):
        return None


def limit_on(device: torch.device) -> int | None:
    """Bytes beyond which taking memory cannot end well: a card's call fails, Linux ends a process.

    ``None`` where the system makes room by itself, or refuses without harm.
    """
    if device.type == "cuda":
        return free_on(device)
    available, swap = _meminfo("MemAvailable"), _meminfo("SwapFree")
    return None if device.type != "cpu" or available is None else available + (swap or 0)


def _meminfo(key: str) -> int | None:
    try:
        lines = MEMINFO.read_text(encoding="ascii").splitlines()
    except OSError:
        return None
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith(key + ":")), None)


def _free_on_windows() -> int | None:
    if sys.platform == "win32":
        # MEMORYSTATUSEX: its own size and the load share the first number, then bytes: all, free
        status = (ctypes.c_uint64 * 8)(64)
        if ctypes.windll.kernel32.GlobalMemoryStatusEx(status):
            return int(status[2])
    return None
