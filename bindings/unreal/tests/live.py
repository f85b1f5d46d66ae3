"""Starts a server of the dummy world and runs the plugin's live tests against it.

    python live.py COMMAND...

Ends with 77 when magi_rt or what it needs is not there: nothing was tested.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile

try:
    from magi_rt.stream.server import WorldServer
    from magi_rt.world import World
except ImportError as missing:
    print(f"not tested: {missing}")
    sys.exit(77)

FPS = 60


def main(command: list[str]) -> int:
    with tempfile.TemporaryDirectory() as snapshots:
        world = World.open("dummy", size=(48, 64), seed=7)
        with WorldServer(world, "tcp://127.0.0.1:*", fps=FPS, snapshots=snapshots) as server:
            arguments = [server.address, server.control_address]
            return subprocess.run([*command, *arguments], check=False, timeout=150).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
