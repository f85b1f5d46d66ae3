"""What the system says of its memory is read as it means it."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from magi_rt import free_memory
from magi_rt.free_memory import free_in_main, free_on, limit_on

CPU, CARD = torch.device("cpu"), torch.device("cuda", 0)
MEMINFO = "MemTotal: 4000 kB\nMemFree: 10 kB\nMemAvailable:  1000 kB\nSwapFree: 24 kB\n"


def test_main_memory_is_what_linux_calls_available_and_its_limit_counts_swap(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = tmp_path / "meminfo"
    told.write_text(MEMINFO)
    monkeypatch.setattr(free_memory, "MEMINFO", told)
    assert free_in_main() == free_on(CPU) == 1000 * 1024
    assert limit_on(CPU) == 1024 * 1024


def test_a_system_that_tells_nothing_sets_no_limit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(free_memory, "MEMINFO", tmp_path / "absent")
    assert limit_on(CPU) is None
    monkeypatch.delattr("os.sysconf")
    assert free_in_main() is None


def test_on_a_card_what_pytorch_holds_in_reserve_is_free(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.mem_get_info", lambda device: (1000, 5000))
    monkeypatch.setattr("torch.cuda.memory_reserved", lambda device: 300)
    monkeypatch.setattr("torch.cuda.memory_allocated", lambda device: 100)
    assert free_on(CARD) == limit_on(CARD) == 1200
