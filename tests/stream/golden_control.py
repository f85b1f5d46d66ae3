"""Golden requests and answers, good ones and faulty ones."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from tests.stream.golden_faults import bad_maps
from tests.stream.golden_frames import STREAM, Golden, packed

CLIENT = "5f1d7a90c3e24b68"
PICTURE = bytes.fromhex(
    "89504e470d0a1a0a0000000d4948445200000001000000010802000000907753de0000000c4944415408d763f8"
    "cfc000000301010018dd8db00000000049454e44ae426082"
)
CODES = (
    "malformed", "version", "unknown_type", "refused", "too_large", "not_found", "busy",
    "superseded", "failed",
)  # fmt: skip
FORMATS = ["rgb8", "rgba8", "bgra8", "bgr8", "jpeg"]


def request(kind: str, **more: Any) -> dict[str, Any]:
    values = {"version": 1, "client": CLIENT, "id": 12, "type": kind, **more}
    return {key: value for key, value in values.items() if value is not ...}


def readable(values: dict[str, Any]) -> dict[str, Any]:
    """With bytes in the index's spelling."""
    return {
        key: {"bytes": value.hex()} if isinstance(value, bytes) else value
        for key, value in values.items()
    }


def good_requests() -> Iterator[Golden]:
    listed = {
        "hello": request("hello", versions=[1]),
        "hello-full": request("hello", versions=[1, 2], name="watcher", shared="bgra8/bottom"),
        "prompt": request("prompt", text="a red ball, gravity pulls left"),
        "prompt-full": request("prompt", text="night falls", at="now", flush=True),
        "prompt-next": request("prompt", text="it snows", at="next", flush=False),
        "prompt-not-ascii": request("prompt", text="Regen fällt — 雨 🌧"),
        "prompt-longest": request("prompt", text="🌧" * 4_000),
        "prompt-empty": request("prompt", text=""),
        "reset": request("reset"),
        "reset-seed": request("reset", seed=2**63 - 1),
        "reset-text": request("reset", seed=7, text="night falls"),
        "image": request("image", image=PICTURE),
        "image-text": request("image", image=PICTURE, text=""),
        "image-seed": request("image", image=PICTURE, seed=0),
        "rewind": request("rewind", chunks=2),
        "rewind-to": request("rewind", to=0),
        "snapshot": request("snapshot", name="before-the_Storm2"),
        "restore": request("restore", name="before-the_Storm2"),
        "fork": request("fork", name="left"),
        "pause": request("pause"),
        "resume": request("resume"),
        "set": request("set", fps=30.0),
        "set-full": request("set", fps=23.976, format="jpeg", quality=80),
        "set-whole-fps": request("set", fps=30),
        "stats": request("stats"),
        "bye": request("bye"),
        "longest-client": request("pause", client="~" * 64),
        "largest-id": request("pause", id=2**53),
    }
    for name, values in listed.items():
        yield Golden(f"request-{name}", "request", packed(values), readable(values))


def answer(kind: str, **more: Any) -> dict[str, Any]:
    values = {"version": 1, "id": 12, "type": kind, "stream": STREAM, "epoch": 3, **more}
    return {key: value for key, value in values.items() if value is not ...}


HELLO: dict[str, Any] = {
    "chosen": 1, "server": "magi_rt 0.3.0", "model": "nano", "width": 128, "height": 128,
    "fps": 24.0, "frames_per_chunk": 8, "delay_chunks": 0, "prompt_characters": 4_000,
    "formats": FORMATS, "format": "rgb8", "paused": False, "heartbeat_ms": 500,
    "frames": "tcp://127.0.0.1:5590", "shared": "",
}  # fmt: skip


def good_answers() -> Iterator[Golden]:
    file = "/dev/shm/magi_rt-00c0ffee5eed2a7f-bgra8-bottom"
    accepted: dict[str, dict[str, Any]] = {
        "hello": HELLO,
        "hello-shared": HELLO | {"shared": file, "format": "jpeg", "paused": True},
        "hello-frames-elsewhere": HELLO | {"frames": ""},
        "prompt": {"prompt": 8},
        "reset": {},
        "image": {},
        "rewind": {},
        "snapshot": {"bytes": 1_234_567_890_123},
        "restore": {},
        "fork": {"forks": ["left", "right"]},
        "pause": {"paused": True},
        "resume": {"paused": False},
        "set": {"fps": 30.0, "format": "jpeg", "quality": 80},
        "stats": {"stats": {"frames_sent": 4711, "frames_skipped": 0, "uptime_s": 196.5}},
        "bye": {},
    }
    first = {"seq": 4712, "frame": 968, "chunk": 41}
    listed = {f"accepted-{name}": answer("accepted", **more) for name, more in accepted.items()}
    listed |= {
        "applied-prompt": answer("applied", **first, prompt=8),
        "applied-prompt-flushed": answer("applied", **first, prompt=8, epoch=4),
        "applied-reset": answer("applied", seq=4712, frame=0, chunk=0, epoch=4),
        "error-nothing-read": answer(
            "error", id=0, code="malformed", message="the message is no msgpack map"
        ),
        "accepted-unknown-keys": answer("accepted", paused=True, weather={"wind": [3, 4]}),
    }
    for code in CODES:
        listed[f"error-{code}"] = answer("error", code=code, message=f"this is why: {code}")
    for name, values in listed.items():
        yield Golden(f"answer-{name}", "answer", packed(values), values)


def bad_requests() -> Iterator[Golden]:
    for fault in bad_maps("request", request("prompt", text="night falls")):
        read = fault.name.startswith(("request-without-", "request-version-"))
        yield replace(fault, more={"id": 12 if read else 0})
    unread: dict[str, tuple[dict[str, Any], str]] = {
        "without-id": (request("pause", id=...), "id is missing"),
        "id-zero": (request("pause", id=0), "ids begin at 1"),
        "id-too-large": (request("pause", id=2**53 + 1), "ids end at 2^53"),
        "id-as-text": (request("pause", id="12"), "id is text"),
        "id-as-true": (request("pause", id=True), "id is true"),
    }
    for name, (values, why) in unread.items():
        yield refused(name, values, "malformed", why, number=0)
    faults: dict[str, tuple[str, dict[str, Any], str]] = {
        "without-client": ("malformed", request("pause", client=...), "client is missing"),
        "client-empty": ("malformed", request("pause", client=""), "client is empty"),
        "client-too-long": ("malformed", request("pause", client="x" * 65), "65 characters"),
        "client-not-printable": ("malformed", request("pause", client="a\nb"), "a line break"),
        "client-not-ascii": ("malformed", request("pause", client="Zoë"), "client is not ASCII"),
        "version-2": ("version", request("pause", version=2), "version 2"),
        "hello-no-common-version": ("version", request("hello", versions=[2, 3]), "versions 2, 3"),
        "without-type": ("malformed", request("pause", type=...), "type is missing"),
        "type-as-number": ("malformed", request("pause", type=7), "type is no text"),
        "type-unknown": ("unknown_type", request("dance"), "no such request"),
        "extra-key": ("refused", request("prompt", text="x", flsh=True), "no key flsh"),
        "extra-key-on-pause": ("refused", request("pause", text="x"), "pause has no keys"),
        "prompt-without-text": ("malformed", request("prompt"), "text is missing"),
        "prompt-text-as-number": ("malformed", request("prompt", text=5), "text is a number"),
        "prompt-text-as-binary": ("malformed", request("prompt", text=b"x"), "text is binary"),
        "prompt-text-too-long": ("refused", request("prompt", text="x" * 4_001), "4,001 letters"),
        "prompt-at-later": ("refused", request("prompt", text="x", at="later"), "next or now"),
        "prompt-flush-as-number": ("malformed", request("prompt", text="x", flush=1), "flush is 1"),
        "reset-negative-seed": ("refused", request("reset", seed=-1), "seed is negative"),
        "reset-seed-too-large": ("refused", request("reset", seed=2**63), "seed is 2^63"),
        "reset-seed-as-float": ("malformed", request("reset", seed=1.0), "seed is a float"),
        "image-without-image": ("malformed", request("image"), "image is missing"),
        "image-as-text": ("malformed", request("image", image="x"), "image is text"),
        "image-empty": ("refused", request("image", image=b""), "image has no bytes"),
        "rewind-zero": ("refused", request("rewind", chunks=0), "chunks is 0"),
        "rewind-without-chunks": ("malformed", request("rewind"), "chunks is missing"),
        "snapshot-path": ("refused", request("snapshot", name="../x"), "a name is no path"),
        "snapshot-empty": ("refused", request("snapshot", name=""), "the name is empty"),
        "snapshot-too-long": ("refused", request("snapshot", name="x" * 65), "65 characters"),
        "restore-newline": ("refused", request("restore", name="left\n"), "a line break"),
        "set-nothing": ("refused", request("set"), "at least one key is needed"),
        "set-fps-too-high": ("refused", request("set", fps=240.5), "fps is over 240"),
        "set-fps-nan": ("refused", request("set", fps=float("nan")), "fps is NaN"),
        "set-fps-as-text": ("malformed", request("set", fps="24"), "fps is text"),
        "set-format-any": ("refused", request("set", format="any"), "any cannot be chosen"),
        "set-quality-zero": ("refused", request("set", quality=0), "quality is 0"),
        "hello-versions-as-number": ("malformed", request("hello", versions=1), "no array"),
        "hello-versions-empty": ("refused", request("hello", versions=[]), "no version"),
        "hello-name-too-long": (
            "refused", request("hello", versions=[1], name="x" * 65), "65 characters",
        ),
        "hello-shared-jpeg": (
            "refused", request("hello", versions=[1], shared="jpeg/top"), "not in shared memory",
        ),
    }  # fmt: skip
    for name, (code, values, why) in faults.items():
        yield refused(name, values, code, why, number=12)


def refused(name: str, values: dict[str, Any], code: str, why: str, *, number: int) -> Golden:
    """A faulty request; ``id`` is that of its answer."""
    return Golden(
        f"request-{name}", "request", packed(values), code=code, why=why, more={"id": number}
    )


def bad_answers() -> Iterator[Golden]:
    yield from bad_maps("answer", answer("accepted", paused=True))
    listed: dict[str, tuple[dict[str, Any], str]] = {
        "without-id": (answer("accepted", id=...), "id is missing"),
        "negative-id": (answer("accepted", id=-1), "id is negative"),
        "type-unknown": (answer("perhaps"), "no such answer"),
        "applied-without-seq": (answer("applied", frame=8, chunk=1), "seq is missing"),
        "applied-frame-as-text": (answer("applied", seq=1, frame="8", chunk=1), "frame is text"),
        "error-without-code": (answer("error", message="no"), "code is missing"),
        "error-message-as-number": (answer("error", code="busy", message=5), "message is 5"),
    }
    for name, (values, why) in listed.items():
        yield Golden(f"answer-{name}", "answer", packed(values), code="malformed", why=why)
