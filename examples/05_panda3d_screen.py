"""A screen in a room, in a 3D engine: Panda3D shows a world on a texture and takes its keys.

pip install "magi-rt[games]"
python examples/05_panda3d_screen.py [nano|dummy|model folder]
python examples/05_panda3d_screen.py --connect tcp://127.0.0.1:5590   (a running magi-rt serve)
python examples/05_panda3d_screen.py --picture room.png   (no window: one picture of the room)
"""

from __future__ import annotations

import argparse
import contextlib
from concurrent.futures import ThreadPoolExecutor

from direct.showbase.ShowBase import ShowBase
from panda3d.core import CardMaker, Filename, NodePath, SamplerState, Texture, loadPrcFileData

from magi_rt import ActionMap, World, WorldClient, WorldServer

WAYS = ("left", "right", "up", "down")
WALLS = ((0, 0, 0.7), (90, 0, 0.45), (-90, 0, 0.5), (0, -90, 0.85), (0, 90, 0.3))
"""Back, left, right, floor, ceiling: how a card that looks at the camera is turned (heading and
pitch in degrees) to be that wall, and how much of the screen's light it gives back."""


class Room(ShowBase):  # type: ignore[misc]  # Panda3D has no types
    """Five walls and a screen; the walls take on the colour of what it shows."""

    def __init__(self, client: WorldClient, actions: ActionMap, *, window: bool = True) -> None:
        super().__init__(windowType="onscreen" if window else "offscreen")
        # What Panda3D keeps in memory is blue first and bottom row first. The server can send
        # exactly that, so nothing has to be turned here.
        self.frames = client.watching(format="bgra8", rows="bottom")
        self.shown = -1
        self.texture = Texture("world")
        size = (client.facts.width, client.facts.height)
        self.texture.setup2dTexture(*size, Texture.T_unsigned_byte, Texture.F_rgba)
        self.texture.setMagfilter(SamplerState.FT_nearest)
        self.walls: list[tuple[NodePath, float]] = []
        self.build()
        talk = ThreadPoolExecutor(1)  # a prompt is answered, and the picture must not wait
        for key, prompt in actions.keys.items():
            name = f"arrow_{key}" if key in WAYS else key
            self.accept(name, talk.submit, [lambda text=prompt: client.prompt(text, flush=True)])
        self.taskMgr.add(self.refresh, "refresh")

    def build(self) -> None:
        """The room is 8 wide, 8 deep and 6 high; its middle is the origin."""
        self.disableMouse()
        self.camera.setPos(0, -9, 0)
        for heading, pitch, shade in WALLS:
            turned = self.render.attachNewNode("turned")
            wall = self.card(turned, 8, 8 if pitch else 6)
            wall.setY(3 if pitch else 4)
            turned.setHpr(heading, pitch, 0)
            self.walls.append((wall, shade))
        screen = self.card(self.render, 4, 4)
        screen.setY(3.9)
        screen.setTexture(self.texture)

    def card(self, parent: NodePath, width: float, height: float) -> NodePath:
        """A rectangle that looks at the camera."""
        maker = CardMaker("card")
        maker.setFrame(-width / 2, width / 2, -height / 2, height / 2)
        return parent.attachNewNode(maker.generate())

    def refresh(self, task: object) -> int:
        """Runs before every picture: the newest frame, if it is another one, goes to the GPU."""
        newest = self.frames.latest()
        if newest is not None and newest.header.seq != self.shown:
            self.shown = newest.header.seq
            self.texture.setRamImage(newest.pixels.tobytes())
            blue, green, red, _ = newest.pixels.mean(axis=(0, 1)) / 255
            for wall, shade in self.walls:
                wall.setColor(shade * red, shade * green, shade * blue, 1)
        return 1  # Task.cont: again before the next picture

    def save(self, path: str) -> None:
        """One picture of the room, as soon as the screen shows something."""
        while self.shown < 0:
            self.taskMgr.step()
        self.graphicsEngine.renderFrame()  # the first one loads the texture
        self.graphicsEngine.renderFrame()
        self.win.saveScreenshot(Filename.fromOsSpecific(path))


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("model", nargs="?", default="nano")
    parser.add_argument("--connect", metavar="ADDRESS", default="")
    parser.add_argument("--picture", metavar="FILE.png", default="")
    wanted = parser.parse_args()
    loadPrcFileData("", "window-title a world in a room\nwin-size 960 720\naudio-library-name null")
    if wanted.picture:
        loadPrcFileData("", "load-display p3tinydisplay")  # draws without a GPU and a display
    with contextlib.ExitStack() as stack:
        address, actions = wanted.connect, ActionMap.of(wanted.model)
        if not address:
            # A thread beside the engine's is enough here; 04_pygame_window.py has a process.
            world = World.open(wanted.model, seed=7)
            server = WorldServer(world, "tcp://127.0.0.1:*", prompt=actions.start)
            address = stack.enter_context(server).address
        room = Room(stack.enter_context(WorldClient(address)), actions, window=not wanted.picture)
        if wanted.picture:
            room.save(wanted.picture)
        else:
            room.run()


if __name__ == "__main__":
    main()
