"""A client steers a served world with the verbs of a world."""

from __future__ import annotations

import gc
import subprocess
import sys
import weakref
from collections.abc import Iterable
from pathlib import Path
from threading import Thread
from typing import Any

import msgpack
import numpy as np
import pytest
import zmq
from PIL import Image

from magi_rt.errors import MediaError, OptionError, PromptError, RemoteError, ServerLostError
from magi_rt.frames import Frame
from magi_rt.stream.client import WorldClient
from magi_rt.stream.received import Received
from magi_rt.stream.seed_pictures import picture_file
from magi_rt.stream.server import WorldServer
from tests.cli.test_interrupt import surroundings
from tests.stream.pictures import png
from tests.stream.serving_kit import LIMIT_S, served, wait_for
from tests.world.kit import dummy_world


def test_a_client_knows_what_it_is_connected_to() -> None:
    with served(dummy_world(window=2), fps=30) as server, WorldClient(server.address) as client:
        facts = client.facts
        assert (facts.model, facts.width, facts.height, facts.fps) == ("dummy", 32, 32, 30.0)
        assert (facts.frames_per_chunk, facts.delay_chunks) == (8, 1)
        assert client.stream == server.stream and client.connected


def test_a_prompt_returns_a_receipt_that_tells_the_first_frame() -> None:
    with served() as server, WorldClient(server.address) as client:
        receipt = client.prompt("rain", flush=True)
        shown = receipt.wait(LIMIT_S)
        assert (shown.prompt, shown.epoch, receipt.done) == (receipt.prompt, 1, True)
        assert receipt.wait() == shown, "waiting again tells the same"


def test_every_verb_reaches_the_world(tmp_path: Path) -> None:
    with served(snapshots=tmp_path) as server, WorldClient(server.address) as client:
        client.prompt("rain").wait(LIMIT_S)
        assert client.fork("here") == ["here"]
        assert client.snapshot("wet") == (tmp_path / "wet.magi").stat().st_size
        wait_for(lambda: client.stats()["frames_shown"] > 30, "some frames")
        assert client.rewind(1).wait(LIMIT_S).epoch == 1
        assert client.restore("here").wait(LIMIT_S).epoch == 2
        assert client.restore("wet").wait(LIMIT_S).epoch == 3
        assert client.reset(seed=4, text="it snows").wait(LIMIT_S).frame == 0
        assert client.hello().text == "it snows"
        assert client.seed_image(png((9, 9, 200))).wait(LIMIT_S).epoch == 5
        client.pause()
        assert client.hello().paused
        client.resume()
        assert client.set(fps=48, format="jpeg", quality=70) == {
            "fps": 48.0, "format": "jpeg", "quality": 70,
        }  # fmt: skip
        assert client.stats()["epoch"] == client.epoch == 5


def test_what_is_refused_there_is_raised_here_with_code_and_sentence() -> None:
    with served() as server, WorldClient(server.address) as client:
        with pytest.raises(RemoteError, match="remembered") as refused:
            client.rewind(999)
        assert refused.value.code == "refused"
        with pytest.raises(RemoteError) as refused:
            client.restore("nothing")
        assert refused.value.code == "not_found"
        with pytest.raises(PromptError, match="4,001"):
            client.prompt("x" * 4001)


def test_a_superseded_prompt_raises_when_it_is_waited_for() -> None:
    with served() as server, WorldClient(server.address) as client:
        client.pause()
        first, second = client.prompt("rain"), client.prompt("snow")
        client.resume()
        with pytest.raises(RemoteError) as refused:
            first.wait(LIMIT_S)
        assert refused.value.code == "superseded"
        assert second.wait(LIMIT_S).prompt == second.prompt


@pytest.mark.parametrize("layout", ["parts", "packed", "auto"])
def test_frames_come_and_none_is_older_than_the_last_receipt(layout: str) -> None:
    with served(buffer=2) as server, WorldClient(server.address) as client:
        for number, received in enumerate(client.frames(layout=layout)):
            assert received.pixels.shape == (32, 32, 3)
            if number in (3, 6, 9):
                shown = client.prompt(f"{number}", flush=True).wait(LIMIT_S)
            if number in (4, 7, 10):
                assert received.header.epoch >= shown.epoch
            if number == 12:
                break
        else:
            pytest.fail("the frames ended")


def test_one_loop_shows_the_frames_of_a_world_and_those_of_a_client() -> None:
    def shown(frames: Iterable[Frame | Received], last: int) -> dict[tuple[int, int], bytes]:
        pictures = {}
        for frame in frames:
            pictures[frame.index, frame.chunk] = frame.pixels.tobytes()
            if frame.index >= last:
                break
        return pictures

    with served() as server, WorldClient(server.address) as client:
        received = shown(client.frames(every=True), last=20)
    with dummy_world() as world:
        made = shown(world.frames(fps=None), last=max(received)[0])
    assert received.items() <= made.items()


def test_a_client_lets_go_of_subscribers_that_were_closed() -> None:
    with served() as server, WorldClient(server.address) as client:
        first = client.watching()
        gone = weakref.ref(first)
        first.close()
        del first
        second = client.watching()
        gc.collect()
        assert gone() is None
        assert second.next(LIMIT_S) is not None


def test_text_that_cannot_be_sent_loses_only_what_a_world_drops() -> None:
    with served() as server, WorldClient(server.address) as client:
        assert client.prompt("half \ud83d a pair").wait(LIMIT_S).prompt == 1


def test_without_a_server_a_client_says_so_in_its_time() -> None:
    with pytest.raises(ServerLostError, match="is a server running there"):
        WorldClient("tcp://127.0.0.1:9", timeout_s=0.3)


@pytest.mark.parametrize(
    "address", ["127.0.0.1:5590", "udp://x:1", "tcp://h:99999", "", "tcp://h:*"]
)
def test_an_address_that_is_none_is_refused(address: str) -> None:
    with pytest.raises(OptionError):
        WorldClient(address)


@pytest.mark.parametrize(
    "control", ["nonsense", "tcp://127.0.0.1:*", "tcp://127.0.0.1:0", "ipc:///" + "x" * 200]
)
def test_a_control_address_that_is_none_is_refused(control: str) -> None:
    with pytest.raises(OptionError, match="address"):
        WorldClient("tcp://127.0.0.1:9", control=control, timeout_s=0.3)


def test_a_receipt_that_does_not_come_is_not_waited_for_for_ever() -> None:
    with served() as server, WorldClient(server.address) as client:
        client.pause()
        with pytest.raises(ServerLostError, match="paused"):
            client.prompt("rain").wait(0.2)


def test_closing_the_client_ends_every_wait() -> None:
    with served() as server:
        client = WorldClient(server.address)
        client.pause()
        receipt = client.prompt("rain")
        client.close()
        with pytest.raises(ServerLostError, match="closed"):
            receipt.wait(LIMIT_S)


def test_a_closed_client_refuses_at_once_and_may_be_closed_again() -> None:
    with served() as server:
        client = WorldClient(server.address)
        client.close()
        client.close()
        assert not client.connected
        with pytest.raises(ServerLostError, match="this client is closed"):
            client.prompt("rain")


def test_a_server_that_ends_in_order_fails_the_open_receipts() -> None:
    with served() as server, WorldClient(server.address) as client:
        client.pause()
        receipt = client.prompt("rain")
        server.close()
        with pytest.raises(RemoteError) as failed:
            receipt.wait(LIMIT_S)
        assert failed.value.code == "failed"
        wait_for(lambda: not client.connected, "the client to notice")


def test_a_request_without_an_answer_is_sent_again_under_its_id() -> None:
    with zmq.Context() as context, context.socket(zmq.ROUTER) as server:
        server.linger = 0
        port = server.bind_to_random_port("tcp://127.0.0.1")
        seen: list[dict[str, Any]] = []

        def serve_until(kind: str, times: int) -> None:
            while len([each for each in seen if each["type"] == kind]) < times:
                assert server.poll(round(1000 * LIMIT_S))
                route, data = server.recv_multipart()
                request = msgpack.unpackb(data)
                seen.append(request)
                ignored = request["type"] == "stats" and times == 2 and seen.count(request) == 1
                if not ignored:
                    answer = {
                        "version": 1, "id": request["id"], "type": "accepted", "stream": "0" * 16,
                        "epoch": 0, "stats": {"n": 3},
                    }  # fmt: skip
                    server.send_multipart([route, b"garbage"])
                    server.send_multipart([route, msgpack.packb(answer)])

        thread = Thread(target=serve_until, args=("stats", 2))
        thread.start()
        with WorldClient("tcp://127.0.0.1:1", control=f"tcp://127.0.0.1:{port}") as client:
            assert client.stats() == {"n": 3}
            thread.join()
        asked = [each for each in seen if each["type"] == "stats"]
        assert asked[0] == asked[1]


def test_a_client_goes_on_with_a_restarted_server() -> None:
    with served() as server:
        address, control, before = server.address, server.control_address, server.stream
        client = WorldClient(address, timeout_s=LIMIT_S)
    with client:
        wait_for(lambda: not client.connected, "the client to notice")
        with served(address=address, control=control) as server:
            assert client.prompt("rain").wait(LIMIT_S).stream == server.stream != before


class ServedProcess:
    """`magi-rt serve dummy` as a process of its own."""

    def __init__(self, *options: str) -> None:
        program = [sys.executable, "-m", "magi_rt.cli", "serve", "dummy", *options]
        self.process = subprocess.Popen(
            program, env=surroundings(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        assert self.process.stdout is not None
        lines = [self.process.stdout.readline() for _ in range(3)]
        assert "frames on" in lines[1], lines
        words = lines[1].split()
        self.address, self.control = words[2].rstrip(","), words[5]

    def kill(self) -> None:
        """Ends it without a word, as kill -9 does."""
        if self.process.poll() is None:
            self.process.kill()
            self.process.communicate()


def test_after_kill_9_clients_notice_and_go_on_with_the_next_stream() -> None:
    first = ServedProcess("--port", "0", "--fps", "60")
    try:
        client = WorldClient(first.address, timeout_s=LIMIT_S)
        with client, client.watching() as frames:
            assert frames.next(LIMIT_S) is not None
            client.pause()
            old, receipt = client.stream, client.prompt("rain")
            first.kill()
            wait_for(lambda: not client.connected and not frames.connected, "both to notice")
            port = first.address.rsplit(":", 1)[1]
            second = ServedProcess("--port", port, "--fps", "60")
            try:
                shown = client.prompt("snow", flush=True).wait(LIMIT_S)
                assert shown.stream == client.stream != old
                with pytest.raises(ServerLostError, match="restarted"):
                    receipt.wait(LIMIT_S)
                wait_for(lambda: frames.stream == shown.stream, "the new stream")
                for _ in range(5):
                    received = frames.next(LIMIT_S)
                    assert received is not None and received.header.stream == shown.stream
                assert frames.connected
            finally:
                second.kill()
    finally:
        first.kill()


def test_pictures_of_every_kind_become_a_file(tmp_path: Path) -> None:
    pixels = np.full((8, 12, 3), 200, dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    for image in (pixels, Image.fromarray(pixels), tmp_path / "a.png", str(tmp_path / "a.png")):
        assert picture_file(image).startswith(b"\x89PNG")
    assert picture_file(b"any bytes") == b"any bytes"
    with pytest.raises(MediaError, match="8,388,608"):
        picture_file(bytes(8_388_609))
    with pytest.raises(MediaError):
        picture_file(tmp_path / "none.png")


def test_the_last_port_has_none_after_it_for_requests() -> None:
    with pytest.raises(OptionError):
        WorldServer(dummy_world(), "tcp://127.0.0.1:65535")
