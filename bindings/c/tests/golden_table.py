"""Writes bindings/golden/index.json as a table that the C tests read.

One line per message: kind, file, 1 or 0 for valid, and in hexadecimal the text that decoding a
valid message must give (see ``describe`` functions in test_golden.c, which say the same).

    golden_table.py INDEX.JSON OUT.TSV
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

HEADER = (
    "stream", "epoch", "seq", "frame", "chunk", "prompt", "due_ns", "sent_ns", "width", "height",
    "stride", "format", "rows", "size", "flags",
)  # fmt: skip
COMMON = ("version", "id", "type", "stream", "epoch")
CODES = (
    "malformed", "version", "unknown_type", "refused", "too_large", "not_found", "busy",
    "superseded", "failed",
)  # fmt: skip


def describe_header(value: dict[str, Any]) -> str:
    words = [f"{key}={value[key]}" for key in HEADER]
    words.append(f"steps={value.get('steps', 0)}")
    if "shared" in value:
        words.append(f"shared={value['shared']['slot']}/{value['shared']['turn']}")
    return " ".join(words)


def describe_packed(value: dict[str, Any]) -> str:
    header = describe_header(value["header"])
    return f"{value['topic']} {header} pixels={value['pixels']['bytes']}"


def describe_event(value: dict[str, Any]) -> str:
    kind = value["type"] if value["type"] in ("heartbeat", "prompt", "epoch", "bye") else "other"
    common = ("stream", "epoch", "seq", "sent_ns")
    words = [f"type={kind}", *(f"{key}={value[key]}" for key in common)]
    if kind == "heartbeat":
        words += [f"fps={value['fps']:.17g}", f"paused={int(value['paused'])}"]
    if kind == "prompt":
        words += [f"prompt={value['prompt']}", f"text={value['text']}"]
    if kind in ("epoch", "bye"):
        words.append(f"reason={value['reason']}")
    return " ".join(words)


def as_json(value: Any) -> str:
    """JSON as the C library writes it: floats with 17 digits, binary values as null."""
    match value:
        case {"bytes": str()} | None:
            return "null"
        case dict():
            pairs = (f"{as_json(key)}: {as_json(each)}" for key, each in value.items())
            return "{" + ", ".join(pairs) + "}"
        case list():
            return "[" + ", ".join(map(as_json, value)) + "]"
        case float():
            return f"{value:.17g}"
        case _:
            return json.dumps(value, ensure_ascii=False)


def describe_answer(value: dict[str, Any]) -> str:
    kind = {"accepted": 1, "applied": 2, "error": 3}[value["type"]]
    code = CODES.index(value["code"]) + 1 if kind == 3 else 0
    numbered = ("seq", "frame", "chunk", "prompt", "code", "message")
    hidden = COMMON if kind == 1 else (*COMMON, *numbered)
    details = {key: each for key, each in value.items() if key not in hidden}
    numbers = (f"{key}={value.get(key, 0)}" for key in ("seq", "frame", "chunk", "prompt"))
    return (
        f"kind={kind} id={value['id']} stream={value['stream']} epoch={value['epoch']} "
        f"{' '.join(numbers)} code={code} message={value.get('message', '')} "
        f"details={as_json(details)}"
    )


def describe_request(value: dict[str, Any]) -> str:
    """Of requests, every key as JSON in the order of the bytes."""
    return as_json(value)


def main(index: Path, out: Path) -> None:
    lines = []
    for message in json.loads(index.read_text(encoding="utf-8"))["messages"]:
        valid = message["valid"]
        text = globals()[f"describe_{message['kind']}"](message["value"]) if valid else ""
        code = "1" if valid else "0"
        lines.append("\t".join((message["kind"], message["file"], code, text.encode().hex())))
    out.write_text("\n".join(lines) + "\n", encoding="ascii")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
