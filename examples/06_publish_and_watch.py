"""Publish and watch: serve a world on this machine, steer it over the wire, watch it answer.

python examples/06_publish_and_watch.py [nano|dummy|model folder]
"""

from __future__ import annotations

import sys

from magi_rt import World, WorldClient, WorldServer


def main(model: str = "nano") -> None:
    world = World.open(model, seed=7)
    with WorldServer(world, "tcp://127.0.0.1:*") as server:
        print(f"watch it elsewhere with: magi-rt watch {server.address}")
        with WorldClient(server.address) as client:
            watch_a_prompt(client)


def watch_a_prompt(client: WorldClient) -> None:
    client.prompt("a red ball and a blue box in a room by day").wait()
    receipt = client.prompt("night falls", flush=True)
    before = 0
    for received in client.frames(every=True):
        if received.header.prompt >= receipt.prompt:
            break
        before += 1
    shown = receipt.wait()
    height, width, _ = received.pixels.shape
    print(f"{width}x{height} pixels, frame {shown.frame} of chunk {shown.chunk} is the first")
    print(f"that shows prompt {shown.prompt}; {before} frames were still of the chunk before")


if __name__ == "__main__":
    main(*sys.argv[1:])
