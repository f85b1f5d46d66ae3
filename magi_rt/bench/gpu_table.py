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
    """One heading with date, hardware and model, then a row per case."""
    rows = list(cases)
    known = next((row for row in rows if "hardware" in row), {})
    heading = (
        f"## {day.isoformat()}, {known.get('hardware', 'hardware unknown')}: "
        f"{known.get('model', 'model unknown')}, random weights, {known.get('steps', '?')} steps, "
        f"torch {known.get('torch', '?')}"
    )
    lines = [heading, "", _row(COLUMNS.values()), _row("---" for _ in COLUMNS)]
    return "\n".join([*lines, *(_row(_cells(row)) for row in rows)])


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
