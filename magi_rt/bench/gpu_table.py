"""Lines of ``magi-rt bench gpu`` as the Markdown table of ``engines/RESULTS.md``."""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import date
from pathlib import Path
from typing import Any

from magi_rt.errors import OptionError

COLUMNS = {
    "size": "size",
    "window": "window",
    "way": "way",
    "precision": "precision",
    "fps": "frames/s",
    "chunk_ms": "chunk ms",
    "first_chunk_ms": "first chunk ms",
    "denoise_ms": "denoiser ms",
    "vae_ms": "VAE ms",
    "peak_gib": "peak GiB",
    "roofline_share": "share of peak",
    "speedup_vs_plain": "x plain",
}
"""Keys of a line and what the table calls them."""

HEADING = ("hardware", "model", "steps", "torch")
"""Keys that make lines belong to one table."""


def read_lines(path: Path) -> list[dict[str, Any]]:
    """The cases of a file of JSON lines; a last line that was cut is left out.

    Raises:
        OptionError: the file cannot be read or holds no case.
    """
    found = []
    try:
        for line in path.read_text(encoding="utf-8").splitlines():
            try:
                entry = json.loads(line)
            except json.JSONDecodeError:
                continue
            if isinstance(entry, dict) and entry.get("bench") == "gpu case":
                found.append(entry)
    except OSError as error:
        raise OptionError(f"{path} cannot be read: {error}", field="table") from error
    if not found:
        raise OptionError(
            f"{path} holds no line of `magi-rt bench gpu`; run it with --out {path}", field="table"
        )
    return found


def markdown(cases: Iterable[dict[str, Any]], day: date) -> str:
    """A table for each hardware, model, step count and PyTorch: a heading, then a row per case.

    Args:
        day: of the file; its lines have no date of their own.
    """
    tables: dict[tuple[str, ...], list[str]] = {}
    for case in cases:
        about = tuple(str(case.get(name, f"{name} unknown")) for name in HEADING)
        tables.setdefault(about, []).append(_row(_cells(case)))
    return "\n\n".join(_table(about, day, rows) for about, rows in tables.items())


def _table(about: tuple[str, ...], day: date, rows: list[str]) -> str:
    hardware, model, steps, torch = about
    heading = (
        f"## {day.isoformat()}, {hardware}: {model}, random weights, {steps} steps, torch {torch}"
    )
    return "\n".join([heading, "", _row(COLUMNS.values()), _row("---" for _ in COLUMNS), *rows])


def _cells(row: dict[str, Any]) -> list[str]:
    if "failed" in row:
        row = row | {"fps": f"failed: {row['failed']}"}
    return [_spelled(name, row.get(name)) for name in COLUMNS]


def _spelled(name: str, value: object) -> str:
    if value is None:
        return ""
    if name == "roofline_share" and isinstance(value, float):
        return f"{100 * value:.0f} %"
    return f"{value:.1f}" if isinstance(value, float) else str(value).replace("|", "/")


def _row(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"
