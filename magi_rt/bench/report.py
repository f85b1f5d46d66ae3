"""How a measurement is shown: a table for people, one JSON line for programs."""

from __future__ import annotations

import json

from rich import box
from rich.table import Table

from magi_rt.bench.measure import Numbers

WORDS = {
    "fps": "frames per second, end to end",
    "chunk_ms_p50": "a chunk, median (ms)",
    "chunk_ms_p95": "a chunk, 95 of 100 are faster (ms)",
    "prompt_to_frames_ms_p50": "new prompt to its frames, median (ms)",
    "prompt_to_frames_ms_p95": "new prompt to its frames, 95 of 100 are faster (ms)",
    "first_chunk_ms": "first chunk of all (ms)",
    "speedup_vs_plain": "times faster than the plain way",
    "speedup_early": "  in the first quarter",
    "speedup_late": "  in the last quarter",
    "plain_chunk_ms_p50": "the plain way: a chunk, median (ms)",
    "plain_fps": "the plain way: frames per second",
    "difference_first_chunk": "difference of both ways in the first chunk",
    "difference_max": "largest difference of both ways",
    "memory_growth_pct": "memory growth after chunk 20 (%)",
    "late_over_early_chunk_time": "late chunk time over early chunk time",
    "memory_mb_after_20": "memory after chunk 20 (MB)",
    "memory_mb_at_end": "memory at the end (MB)",
    "early_chunk_ms_p50": "early chunk, median (ms)",
    "late_chunk_ms_p50": "late chunk, median (ms)",
    "compared_chunks": "chunks compared at each end",
    "overhead_chunk_ms_p50": "besides the networks: a chunk, median (ms)",
    "overhead_chunk_ms_p95": "besides the networks: a chunk, 95 of 100 are faster (ms)",
    "overhead_cpu_chunk_ms_p50": "  of which a processor was busy (ms)",
    "overhead_step_ms": "  and for one step of the stage (ms)",
    "overhead_share_pct": "share of a chunk's time that is not a network (%)",
    "page_fps": "pictures drawn per second",
    "prompts": "prompts typed",
    "prompts_that_showed": "  of which the picture showed",
    "prompt_to_pixels_ms_p50": "Enter to the first picture that shows it, median (ms)",
    "prompt_to_pixels_ms_p95": "  95 of 100 are faster (ms)",
    "page_adds_ms_p50": "  of which the page itself took, median (ms)",
    "page_adds_ms_p95": "  95 of 100 are faster (ms)",
    "page_minutes": "minutes that the page ran on",
    "page_objects_mb_early": "its objects after a third of them (MB)",
    "page_objects_mb_late": "  at the end (MB)",
    "page_objects_growth_pct": "  growth (%)",
    "page_process_mb_early": "its process after a third of them (MB)",
    "page_process_mb_late": "  at the end (MB)",
    "page_process_growth_pct": "  growth (%)",
    "page_nodes_early": "nodes of its document after a third of them",
    "page_nodes_late": "  at the end",
}
"""What the measured values are called in tables; everything else is a condition."""


def table(numbers: Numbers) -> Table:
    """Measured values, then the conditions they hold under."""
    shown = Table(box=box.SIMPLE, show_header=False, pad_edge=False)
    shown.add_column(no_wrap=True)
    shown.add_column(justify="right", overflow="fold")
    measured = [name for name in numbers if name in WORDS]
    for name in measured:
        shown.add_row(WORDS[name], _spelled(numbers[name]))
    shown.add_section()
    for name, value in numbers.items():
        if name not in WORDS:
            shown.add_row(f"[dim]{name.replace('_', ' ')}[/]", _spelled(value))
    return shown


def ways_table(title: str, found: Numbers) -> Table:
    """A column for each way of doing one thing, a row for each number.

    Args:
        found: by way, what was measured; ways may lack some of the numbers.
    """
    names = dict.fromkeys(name for numbers in found.values() for name in numbers)
    shown = Table(box=box.SIMPLE, title=title.replace("_", " "), title_justify="left")
    shown.add_column("")
    for way in found:
        shown.add_column(way.replace("/", "\n"), justify="right")
    for name in names:
        spelled = (_spelled(numbers[name]) if name in numbers else "" for numbers in found.values())
        shown.add_row(name.replace("_", " "), *spelled)
    return shown


def json_line(numbers: Numbers) -> str:
    """One line that programs read."""
    return json.dumps(numbers, ensure_ascii=False, allow_nan=False)


def _spelled(value: object) -> str:
    if value is None:
        return "not measured"
    return f"{value:.4g}" if isinstance(value, float) else str(value)
