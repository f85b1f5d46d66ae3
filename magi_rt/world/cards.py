"""The JSON card of a saved log or snapshot: what it is and which version can read it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from magi_rt.errors import SnapshotError


def read_card(path: Path, form: str, version: int, kind: str) -> dict[str, Any]:
    """A JSON object of a known format from a file.

    Raises:
        SnapshotError: the file is absent, no such object, or of a later version.
    """
    try:
        card = json.loads(path.read_text(encoding="utf-8", errors="surrogatepass"))
    except OSError as error:
        raise SnapshotError(f"cannot read {path}: {error.strerror}", field="path") from error
    except (ValueError, RecursionError) as error:
        raise SnapshotError(f"{path} is not a {kind}: {error}", field="path") from error
    return checked_card(card, path, form, version, kind)


def checked_card(card: Any, path: Path, form: str, version: int, kind: str) -> dict[str, Any]:
    """The card itself when it is of the format and of a version that can be read.

    Raises:
        SnapshotError: it is not.
    """
    if not isinstance(card, dict) or card.get("format") != form:
        raise SnapshotError(f"{path} is not a {kind} of magi_rt", field="path")
    if card.get("version") != version:
        raise SnapshotError(
            f"{path} has format version {card.get('version')!r}; this magi_rt reads {version}: "
            "use the version that wrote it",
            field="version",
        )
    return card
