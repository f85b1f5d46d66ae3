"""A world on a web page, in one small asyncio program: pictures out, prompts in.

python examples/11_asyncio_server.py [nano|dummy|model folder] [port]

Open http://127.0.0.1:8000 and type a prompt. (magi-rt demo is the grown-up of this.)
"""

from __future__ import annotations

import asyncio
import contextlib
import io
import sys
from urllib.parse import parse_qs, urlsplit

from PIL import Image

from magi_rt import Frame, World

PAGE = b"""<!doctype html><title>a world</title>
<img src="/frames" width="512" height="512" style="image-rendering: pixelated">
<form action="/prompt" target="said">
<input name="text" size="60" maxlength="4000" autofocus></form>
<iframe name="said" hidden></iframe>"""


class Show:
    """Makes chunks with `await world.aadvance()` and hands frames to every page that looks."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.prompt: str | None = "a red ball and a blue box in a room by day"
        self.picture = b""
        self.changed = asyncio.Condition()

    async def run(self) -> None:
        """Shows a chunk while the next one is made; the event loop is free all the time."""
        making = asyncio.ensure_future(self.chunk())
        while True:
            frames = await making
            making = asyncio.ensure_future(self.chunk())
            for frame in frames:
                async with self.changed:
                    self.picture = as_jpeg(frame)
                    self.changed.notify_all()
                await asyncio.sleep(1 / self.world.fps)

    async def chunk(self) -> list[Frame]:
        prompt, self.prompt = self.prompt, None  # None: the last prompt goes on
        return await self.world.aadvance(prompt)

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One request of a browser."""
        left = (ConnectionError, IndexError, ValueError, asyncio.CancelledError)
        with contextlib.closing(writer), contextlib.suppress(*left):
            url = urlsplit((await reader.readline()).decode("latin-1").split()[1])
            if url.path == "/frames":
                await self.stream(writer)
            elif url.path == "/prompt":
                said = parse_qs(url.query, keep_blank_values=True).get("text", [""])[0]
                self.prompt = said[:4000]  # a world refuses more
                writer.write(b"HTTP/1.0 204 No Content\r\n\r\n")
            else:
                writer.write(b"HTTP/1.0 200 OK\r\nContent-Type: text/html\r\n\r\n" + PAGE)
            await writer.drain()

    async def stream(self, writer: asyncio.StreamWriter) -> None:
        """A picture that changes, as browsers have known it since 1995."""
        kind = b"multipart/x-mixed-replace; boundary=next"
        writer.write(b"HTTP/1.0 200 OK\r\nContent-Type: " + kind + b"\r\n\r\n")
        while True:
            async with self.changed:
                await self.changed.wait()
                part = b"--next\r\nContent-Type: image/jpeg\r\n\r\n" + self.picture + b"\r\n"
            writer.write(part)
            await writer.drain()  # a slow page waits here and misses pictures; nothing piles up


def as_jpeg(frame: Frame) -> bytes:
    file = io.BytesIO()
    Image.fromarray(frame.pixels).save(file, "JPEG", quality=90)
    return file.getvalue()


async def main(model: str = "nano", port: str = "8000") -> None:
    show = Show(World.open(model, seed=7))
    server = await asyncio.start_server(show.answer, "127.0.0.1", int(port))
    print(f"open http://127.0.0.1:{server.sockets[0].getsockname()[1]}; Ctrl-C ends it", flush=True)
    try:
        await show.run()
    finally:
        server.close()  # no `async with`: that waits for pages, which look on for ever


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(main(*sys.argv[1:]))
