"""Plays the example in Godot against a real server and compares what was shown with what was sent.

    python run.py PROJECT

Ends with 77, and says why, when the engine or magi_rt is not there: nothing was tested.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

try:
    from magi_rt.stream.received import Received
    from magi_rt.stream.server import WorldServer
    from magi_rt.stream.subscriber import FrameSubscriber
    from magi_rt.world import World
except ImportError as missing:
    print(f"not tested: {missing}")
    sys.exit(77)

SIZE = (32, 48)
FPS = 20
ACCEPTED, APPLIED = 1, 2


def play(engine: list[str], project: str) -> None:
    """The world's own pixels are in the engine's texture, and a prompt is answered and shown."""
    sent: dict[int, bytes] = {}

    def keep(frame: Received) -> None:
        sent[frame.header.seq] = frame.pixels.tobytes()

    with (
        tempfile.TemporaryDirectory() as out,
        WorldServer(World.open("dummy", size=SIZE, seed=7), "tcp://127.0.0.1:*", fps=FPS) as server,
        FrameSubscriber(
            server.address, format="rgba8", layout="parts", every=True, control="", on_frame=keep
        ) as witness,
    ):
        assert witness.next(timeout_s=60) is not None, "the server sends nothing"
        run(engine, project, server, out)
        result = json.loads((Path(out) / "result.json").read_text())
        print(json.dumps(result, indent=1))
        saved = {int(seq): (Path(out) / f"{int(seq)}.rgba").read_bytes() for seq in result["saved"]}
    check(result, saved, sent)


def run(engine: list[str], project: str, server: WorldServer, out: str) -> None:
    addresses = {"MAGI_FRAMES": server.address, "MAGI_CONTROL": server.control_address}
    script = Path(__file__).with_name("check.gd")
    subprocess.run(
        [*engine, "--path", project, "-s", str(script)],
        env={**os.environ, **addresses, "MAGI_OUT": out, "HOME": out, "LANG": "en"},
        check=True,
        timeout=120,
    )


def check(result: dict[str, Any], saved: dict[int, bytes], sent: dict[int, bytes]) -> None:
    assert (result["height"], result["width"]) == SIZE
    common = saved.keys() & sent.keys()
    assert len(common) >= 3, f"{len(common)} frames were seen by both"
    for seq in common:
        assert saved[seq] == sent[seq], f"frame {seq} differs"
    receipts = result["receipts"]
    kinds = [ACCEPTED, APPLIED, ACCEPTED, ACCEPTED, APPLIED, ACCEPTED]
    assert [receipt["kind"] for receipt in receipts] == kinds
    asked = [result[name] for name in ("request", "request", "pause", "back", "back", "resume")]
    assert [receipt["request"] for receipt in receipts] == asked
    applied = receipts[1]
    assert receipts[4]["chunk"] == applied["chunk"]
    assert result["shown_prompt"] == applied["prompt"] > 0
    assert result["undone_prompt"] == 0
    assert result["left_seq"] > receipts[4]["seq"]
    # It left the tree and came back: told so, and the pictures go on.
    assert result["connections"] == [True, False, True]
    assert result["shown_seq"] > result["left_seq"]
    assert "cannot connect" in result["unreachable"], "nobody was told why nothing is shown"
    print(f"{len(common)} pictures in the engine's textures are those of the world")


def main(project: str) -> int:
    """Without a window; and on a screen that nobody sees, where the tools for it are there."""
    ways = []
    if server := shutil.which("godot3-server"):
        ways.append([server])
    if (full := shutil.which("godot3")) and (screen := shutil.which("xvfb-run")):
        ways.append([screen, "-a", full, "--audio-driver", "Dummy"])
    if not ways:
        print("not tested: there is no Godot 3 (Debian: godot3-server)")
        return 77
    for engine in ways:
        print("==", *engine)
        play(engine, project)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
