"""Where the worlds on the page come from: this process, or a server that runs already."""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Protocol

from magi_rt.checkpoints.layout import BUILT_IN
from magi_rt.demo.messages import PageError
from magi_rt.stream.client import WorldClient
from magi_rt.stream.keys import ClientKeys
from magi_rt.stream.server import WorldServer
from magi_rt.world import World
from magi_rt.world.run_log import start_file

HISTORY_CHUNKS = 120
"""Chunks that a built-in world can go back; larger models keep as many as World.open gives them."""

_FORK = "second-picture"


class Worlds(Protocol):
    """The first picture's world and, where that can be done, a second one beside it.

    start: what is said at every beginning.
    backend: what computes, "" where that is not known.
    """

    start: str
    backend: str

    def open(self) -> WorldClient:
        """A client of the first world; takes as long as its weights take to load."""
        ...

    def fork(self, client: WorldClient, chunk: int, start: str = "") -> WorldClient:
        """A client of a second world that continues from before a chunk that was shown.

        Args:
            start: what is said there, for the very first chunk.

        Raises:
            PageError: these worlds have no second picture.
            MagiError: so much is not remembered.
        """
        ...

    def unfork(self) -> None:
        """Ends the second world."""
        ...

    def rewindable(self, picture: int) -> int | None:
        """Chunks that a picture's world can go back; None where that is not known."""
        ...

    def steps(self, picture: int) -> int | None:
        """Denoising steps of a picture's chunks; None where that is not known."""
        ...

    def replay(self, picture: int) -> str:
        """The run so far as the JSON of a replay file.

        Raises:
            PageError: these worlds keep it for themselves.
        """
        ...

    def close(self) -> None:
        """Ends what was begun here."""
        ...


class LocalWorlds:
    """Worlds of this process, each behind a server of its own on a private address.

    Args:
        model, options: as for :meth:`magi_rt.World.open`.
        start: prompt of every beginning.
        fps: frames shown per second, None for the world's own.
        saved: folder for snapshots, which must exist; None: they are refused.
    """

    def __init__(
        self,
        model: str,
        options: Mapping[str, Any],
        *,
        start: str = "",
        fps: float | None = None,
        saved: Path | None = None,
    ) -> None:
        self.start, self.backend = start, ""
        self._model, self._options, self._fps, self._saved = model, dict(options), fps, saved
        self._servers: list[WorldServer] = []
        self._scratch = ExitStack()
        self._folder = ""

    def open(self) -> WorldClient:
        folder = tempfile.TemporaryDirectory(prefix="magi_rt-")
        self._folder = self._scratch.enter_context(folder)
        history = HISTORY_CHUNKS if self._model in (*BUILT_IN, "dummy") else None
        world = World.open(self._model, **{"history": history, **self._options})
        self.backend = world.engine.name
        return self._serve(world, self.start)

    def _serve(self, world: World, start: str) -> WorldClient:
        """Shows a world; closes it when that cannot be."""
        number = len(self._servers)
        here = f"ipc://{self._folder}/{number}"
        with ExitStack() as undo:
            undo.callback(world.close)
            server = WorldServer(
                world, "tcp://127.0.0.1:*" if sys.platform == "win32" else here,
                fps=self._fps, prompt=start, snapshots=self._saved,
            )  # fmt: skip
            undo.callback(server.close)
            client = WorldClient(server.start().address, name="demo page")
            undo.pop_all()
        self._servers.append(server)
        return client

    def fork(self, client: WorldClient, chunk: int, start: str = "") -> WorldClient:
        client.fork(_FORK)
        world = self._servers[0].take_fork(_FORK)
        try:
            if chunk < world.chunks:
                world.rewind(world.chunks - chunk)
        except BaseException:
            world.close()
            raise
        return self._serve(world, start)

    def unfork(self) -> None:
        while len(self._servers) > 1:
            self._servers.pop().close()

    def rewindable(self, picture: int) -> int | None:
        return self._servers[picture].rewindable

    def steps(self, picture: int) -> int | None:
        return self._servers[picture].steps

    def replay(self, picture: int) -> str:
        with tempfile.TemporaryDirectory(dir=self._folder) as folder:
            path = Path(folder) / "run.json"
            self._servers[picture].log.save(path)
            if start_file(path).exists():
                raise PageError(
                    "this run begins with a long video, which does not fit one replay file"
                )
            text = path.read_text(encoding="utf-8", errors="surrogatepass")
        return json.dumps(json.loads(text), indent=1)

    def close(self) -> None:
        for server in reversed(self._servers):
            server.close()
        self._servers.clear()
        self._scratch.close()


class RemoteWorlds:
    """A world that a server shows already; steered, but not owned.

    Args:
        address, keys: as for :class:`magi_rt.WorldClient`.
    """

    def __init__(self, address: str, keys: ClientKeys | None = None) -> None:
        self.start, self.backend = "", ""
        self._address, self._keys = address, keys

    def open(self) -> WorldClient:
        return WorldClient(self._address, keys=self._keys, name="demo page")

    def fork(self, client: WorldClient, chunk: int, start: str = "") -> WorldClient:
        raise PageError(
            f"the server at {self._address} shows one picture; start magi-rt demo without "
            "--connect to compare two"
        )

    def unfork(self) -> None:
        pass

    def rewindable(self, picture: int) -> int | None:
        return None

    def steps(self, picture: int) -> int | None:
        return None

    def replay(self, picture: int) -> str:
        raise PageError(
            f"the server at {self._address} keeps its run for itself; start magi-rt demo without "
            "--connect to take it along"
        )

    def close(self) -> None:
        pass
