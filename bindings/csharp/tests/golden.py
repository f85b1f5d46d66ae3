"""Sends the golden messages to the C# client and compares what it makes of them with their values.

Of golden requests it compares what the client sends with what they hold.

    python golden.py GOLDEN_FOLDER COMMAND...

COMMAND starts the test program's probe (Probe.cs), which is told addresses and tells what came.
Ends with 77 when pyzmq or msgpack are not there: nothing was tested.
"""

from __future__ import annotations

import json
import math
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

try:
    import msgpack
    import zmq
except ImportError as missing:
    print(f"not tested: {missing}")
    sys.exit(77)

Value = dict[str, Any]

GOLDEN_REQUEST = 12
"""The id in every golden answer."""

MOST_PIXELS = 1 << 20
"""Headers of larger pictures are left to the tests of the C decoder."""

PATIENCE_MS = 30_000
VERBS = {"reset", "image", "rewind", "snapshot", "restore", "fork"}
VERBS |= {"pause", "resume", "set", "stats"}
OF_THE_ANSWER = {"version", "id", "type", "stream", "epoch"}
OF_THE_RECEIPT = {"seq", "frame", "chunk", "prompt", "code", "message"}


MADE = {"prompt-full", "reset", "reset-seed", "reset-text", "image", "image-text", "image-seed"}
MADE |= {"rewind", "rewind-to", "snapshot", "restore", "fork", "set-full"}
"""Golden requests that the probe sends (Probe.cs has the same names)."""


class Reader:
    """The probe: a line asks, a line answers."""

    def __init__(self, command: list[str]) -> None:
        self.process = subprocess.Popen(
            [*command, "probe"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def ask(self, *words: object) -> dict[str, str]:
        assert self.process.stdin is not None and self.process.stdout is not None
        print(*words, file=self.process.stdin, flush=True)
        line = self.process.stdout.readline()
        if not line:
            raise SystemExit(f"the probe ended at: {words}")
        return dict(pair.split("=", 1) for pair in line.split())

    def close(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait(timeout=PATIENCE_MS / 1000)


@contextmanager
def on_a_thread(work: Any, *arguments: Any) -> Iterator[None]:
    thread = threading.Thread(target=work, args=arguments, daemon=True)
    thread.start()
    yield
    thread.join(timeout=PATIENCE_MS / 1000)


def send_when_subscribed(socket: zmq.Socket[bytes], topic: bytes, parts: list[bytes]) -> None:
    """Once, as soon as somebody has subscribed to the topic."""
    while socket.poll(PATIENCE_MS):
        if socket.recv() == b"\x01" + topic:
            socket.send_multipart([topic, *parts])
            return


def serve_answers(socket: zmq.Socket[bytes], golden: bytes, value: Value, hello: Value) -> None:
    """Accepts whatever comes, and answers the golden request with the golden bytes."""
    while socket.poll(PATIENCE_MS):
        peer, request = socket.recv_multipart()
        asked = msgpack.unpackb(request)
        plain = {"version": 1, "type": "accepted", "stream": hello["stream"], "epoch": 0}
        if asked["type"] == "bye":
            return
        if asked["id"] != GOLDEN_REQUEST:
            answer = hello if asked["type"] == "hello" else plain
            socket.send_multipart([peer, msgpack.packb({**answer, "id": asked["id"]})])
            continue
        if value.get("type") == "applied":
            socket.send_multipart([peer, msgpack.packb({**plain, "id": asked["id"]})])
        socket.send_multipart([peer, golden])
        return


def accept_one(socket: zmq.Socket[bytes], hello: Value, asked: list[Value]) -> None:
    """Accepts the hello and one request, which is kept."""
    while not asked and socket.poll(PATIENCE_MS):
        peer, request = socket.recv_multipart()
        told = msgpack.unpackb(request)
        greets = told["type"] == "hello"
        answer = hello if greets else {"version": 1, "type": "accepted", **chosen(hello, "stream")}
        socket.send_multipart([peer, msgpack.packb({"epoch": 0, **answer, "id": told["id"]})])
        if not greets:
            asked.append(told)


class Check:
    """Runs every golden message through the probe and counts what disagrees."""

    def __init__(self, folder: Path, reader: Reader) -> None:
        self.folder = folder
        self.reader = reader
        self.context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self.compared = 0
        self.wrong = 0
        index = json.loads((folder / "index.json").read_text())
        self.messages: list[Value] = index["messages"]
        self.hello = next(m for m in self.messages if m["file"] == "answer-accepted-hello.bin")

    @contextmanager
    def bound(self, kind: int) -> Iterator[tuple[zmq.Socket[bytes], str]]:
        socket = self.context.socket(kind)
        try:
            port = socket.bind_to_random_port("tcp://127.0.0.1")
            yield socket, f"tcp://127.0.0.1:{port}"
        finally:
            socket.close(linger=0)

    def expect(self, name: str, expected: Value, found: dict[str, str]) -> None:
        self.compared += 1
        for key, value in expected.items():
            if not same(value, found.get(key, "")):
                self.wrong += 1
                print(f"FAIL {name}: {key} is {value!r}, the client says {found.get(key)!r}")

    def header(self, message: Value) -> None:
        value = message.get("value", {})
        if "shared" in value or value.get("size", 0) > MOST_PIXELS:
            return
        style, rows = value.get("format", "rgba8"), value.get("rows", "top")
        pixels = bytes(range(1, 1 + value.get("size", 48)))
        with self.bound(zmq.XPUB) as (socket, address):
            topic = f"frame/{style}/{rows}/parts".encode()
            parts = [self.bytes_of(message), pixels]
            with on_a_thread(send_when_subscribed, socket, topic, parts):
                found = self.reader.ask("frame", address, style, rows)
        if message["valid"]:
            expected = {key: value[key] for key in value if key != "version"}
            self.expect(message["file"], {**expected, "pixels": pixels.hex()}, found)
        else:
            self.expect(message["file"], {"malformed": 1}, found)

    def event(self, message: Value) -> None:
        value = message.get("value", {})
        with self.bound(zmq.XPUB) as (socket, address):
            parts = [self.bytes_of(message)]
            with on_a_thread(send_when_subscribed, socket, b"event", parts):
                found = self.reader.ask("event", address)
        if not message["valid"]:
            self.expect(message["file"], {"malformed": 1, "events": 0}, found)
            return
        expected: Value = {"malformed": 0, "events": 1}
        expected |= chosen(value, "stream", "epoch", "fps", "paused")
        if value["type"] == "bye":
            expected["state"] = "Ended"
        self.expect(message["file"], expected, found)

    def answer(self, message: Value) -> None:
        value = message.get("value", {"id": GOLDEN_REQUEST, "type": "error"})
        asked = message["file"].removesuffix(".bin").split("-")[-1]
        kind = asked if asked in VERBS else "prompt"
        special = "hello" in message["file"] or asked in {"bye", "empty"}
        # An empty part is no message on this socket but the mark that a REQ socket sets in front.
        if value["id"] != GOLDEN_REQUEST or special:
            return
        receipts = 2 if value["type"] == "applied" else 1
        with self.bound(zmq.XPUB) as (_, frames), self.bound(zmq.ROUTER) as (socket, control):
            golden = self.bytes_of(message)
            with on_a_thread(serve_answers, socket, golden, value, self.hello["value"]):
                found = self.reader.ask("answer", frames, control, kind, receipts)
        if not message["valid"]:
            self.expect(message["file"], {"malformed": 1}, found)
            return
        expected: Value = {"malformed": 0, "kind": value["type"]}
        expected |= chosen(value, "stream", "epoch", "seq", "frame", "chunk", "prompt")
        if "code" in value:
            expected["code"] = value["code"].replace("_", "")
            expected["message"] = value["message"].encode().hex()
        self.expect(message["file"], expected, found)
        details = json.loads(bytes.fromhex(found["details"]))
        rest = {k: v for k, v in value.items() if k not in OF_THE_ANSWER | OF_THE_RECEIPT}
        if not contains(details, rest):
            self.wrong += 1
            print(f"FAIL {message['file']}: details are {details}, not {rest}")

    def request(self, message: Value) -> None:
        name = message["file"].removeprefix("request-").removesuffix(".bin")
        if name not in MADE:
            return
        asked: list[Value] = []
        with (
            self.bound(zmq.XPUB) as (_, frames),
            self.bound(zmq.ROUTER) as (socket, control),
            on_a_thread(accept_one, socket, self.hello["value"], asked),
        ):
            found = self.reader.ask("request", frames, control, name)
        golden = msgpack.unpackb(self.bytes_of(message))
        sent = {**asked[0], **chosen(golden, "client", "id")}
        self.expect(message["file"], {"receipt": found["id"]}, found)
        if list(sent.items()) != list(golden.items()):
            self.wrong += 1
            print(f"FAIL {message['file']}: the client sends {sent}, not {golden}")

    def bytes_of(self, message: Value) -> bytes:
        return (self.folder / str(message["file"])).read_bytes()

    def run(self) -> bool:
        checks = {"header": self.header, "event": self.event}
        checks |= {"answer": self.answer, "request": self.request}
        for message in self.messages:
            if message["kind"] in checks:
                checks[message["kind"]](message)
        self.context.term()
        print(f"{self.compared} golden messages compared, {self.wrong} values differ")
        return self.compared > 0 and self.wrong == 0


def same(value: object, found: str) -> bool:
    """A golden value against the probe's text for it."""
    if isinstance(value, float):
        return math.isclose(value, float(found), rel_tol=1e-12)
    return str(value) == found


def chosen(value: Value, *keys: str) -> Value:
    return {key: value[key] for key in keys if key in value}


def contains(details: Value, rest: Value) -> bool:
    """Whether the receipt's details hold the answer's other keys; binary ones cannot be JSON."""
    return all(details.get(key) == value for key, value in rest.items())


def main(arguments: list[str]) -> int:
    reader = Reader(arguments[1:])
    try:
        return 0 if Check(Path(arguments[0]), reader).run() else 1
    finally:
        reader.close()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
