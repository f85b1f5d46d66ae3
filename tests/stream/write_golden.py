"""Writes bindings/golden: `python -m tests.stream.write_golden`.

The messages are made by hand here, apart from the code that they test; a test proves that the
committed files are what this makes.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import Any

from tests.stream import golden_control, golden_faults, golden_frames
from tests.stream.golden_frames import Golden

FOLDER = Path(__file__).parents[2] / "bindings" / "golden"
ABOUT = [
    "Every message of docs/protocol.md as a file, for the tests of all languages.",
    "kind: header (second part of a frame), packed (a whole frame in one part), event (second part "
    "of an event), request or answer (the whole message).",
    "A valid message decodes to value. Whole numbers have up to 64 bits. Binary values are "
    '{"bytes": hexadecimal}. Keys that a decoder must ignore are not in value, or may be.',
    "An invalid message must be refused, for the reason that why tells: code malformed, version or "
    "too_large for frames, events and answers; for requests the code of the server's error, whose "
    "id is id (0 where it is absent).",
    "shared-memory.bin is no message but a mapped file of two slots: slot 0 holds pixels at turn "
    "4, slot 1 others at turn 2.",
]


def messages() -> Iterator[Golden]:
    """Every golden message, good ones first."""
    return chain(
        golden_frames.good_headers(),
        golden_frames.good_packed(),
        golden_frames.good_events(),
        golden_control.good_requests(),
        golden_control.good_answers(),
        golden_faults.bad_headers(),
        golden_faults.bad_packed(),
        golden_faults.bad_events(),
        golden_control.bad_requests(),
        golden_control.bad_answers(),
    )


def entry(message: Golden) -> dict[str, Any]:
    head = {"file": f"{message.name}.bin", "kind": message.kind, "valid": message.value is not None}
    if message.value is not None:
        return {**head, "value": message.value, **message.more}
    return {**head, "code": message.code, "why": message.why, **message.more}


def files() -> dict[str, bytes]:
    """Content of every file of the folder, by name."""
    made: dict[str, bytes] = {}
    entries = []
    for message in messages():
        described = entry(message)
        assert described["file"] not in made, f"{described['file']} is made twice"
        made[described["file"]] = message.data
        entries.append(json.dumps(described, ensure_ascii=False, allow_nan=False))
    about = json.dumps(ABOUT, ensure_ascii=False, indent=1)
    listed = ",\n".join(entries)
    index = f'{{"version": 1,\n"about": {about},\n"messages": [\n{listed}\n]}}\n'
    made["shared-memory.bin"] = golden_frames.shared_memory()
    return {**made, "index.json": index.encode("utf-8")}


def main() -> None:
    FOLDER.mkdir(parents=True, exist_ok=True)
    made = files()
    for path in FOLDER.iterdir():
        if path.name not in made:
            path.unlink()
    for name, content in made.items():
        (FOLDER / name).write_bytes(content)
    print(f"{len(made)} files in {FOLDER}")


if __name__ == "__main__":
    main()
