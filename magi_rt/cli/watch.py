"""`magi-rt watch`: what a server shows, in a window or as a video."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from magi_rt.cli.interrupt import InterruptGuard
from magi_rt.cli.remote import ADDRESS, Keys, Timeout, client_keys, client_of
from magi_rt.errors import MediaError, OptionError

if TYPE_CHECKING:
    from magi_rt.media.video_writer import VideoWriter
    from magi_rt.stream.client import WorldClient
    from magi_rt.stream.received import Received
    from magi_rt.stream.subscriber import FrameSubscriber

GOOD_SIDE = 512
"""Small worlds are shown enlarged until their shorter side has about this many pixels."""

_QUIT = (ord("q"), 27)
_TICK_MS = 5

Where = Annotated[
    str, typer.Argument(metavar="[ADDRESS]", help="Where the server's frames go out.")
]
Headless = Annotated[
    Path | None,
    typer.Option(metavar="FILE.mp4", help="Write a video instead of opening a window."),
]
Seconds = Annotated[
    float | None,
    typer.Option(
        metavar="S", help="End after so many seconds; needed for a video that is to end by itself."
    ),
]


def watch(
    address: Where = ADDRESS,
    headless: Headless = None,
    seconds: Seconds = None,
    timeout: Timeout = 10.0,
    keys: Keys = None,
) -> None:
    """Watch a served world, in a window (q closes it) or as a video.

    Always the newest frame is shown, however slow this machine is; a video holds every frame.
    The window needs opencv-python: pip install "magi-rt\\[viewer]"

    [bold]Examples[/bold]

      magi-rt watch

      magi-rt watch --headless seen.mp4 --seconds 10

      magi-rt watch tcp://192.168.0.7:5590 --keys my-client
    """
    if seconds is not None and not 0 < seconds <= 86_400:
        raise OptionError(
            f"--seconds {seconds:g} cannot be watched; give more than 0 and at most 86400",
            field="seconds",
        )
    if headless is not None:
        from magi_rt.cli.run_plan import check_target

        check_target(headless, "--headless", ".mp4")
        code = _film(address, headless, seconds, timeout, keys)
    else:
        code = _show(address, seconds, keys)
    if code:
        raise typer.Exit(code)


def _film(
    address: str, path: Path, seconds: float | None, timeout_s: float, keys: Path | None
) -> int:
    """Write what is shown; after Ctrl-C what was seen so far is kept. Returns the exit code."""
    with InterruptGuard() as guard, client_of(address, timeout_s, keys) as client:
        writer: VideoWriter | None = None
        try:
            for received in _frames_for(client, seconds, timeout_s):
                with guard.hold():
                    writer = writer or _writer(path, client, received)
                    writer.write(received.pixels)
        except KeyboardInterrupt:
            typer.echo("magi-rt: stopped", err=True)
        except BaseException:
            if writer is not None:
                writer.discard()
            raise
        if writer is None:
            raise MediaError(f"{path} was not written: no frame came", field="headless")
        writer.close()
        typer.echo(f"{writer.frames_written} frames written to {path}")
    return guard.exit_code


def _writer(path: Path, client: WorldClient, first: Received) -> VideoWriter:
    from magi_rt.cli.render import fitting_scale
    from magi_rt.media.video_writer import VideoWriter

    height, width, _ = first.pixels.shape
    scale = fitting_scale(height, width)
    return VideoWriter(path, fps=client.facts.fps, height=height, width=width, scale=scale)


def _frames_for(client: WorldClient, seconds: float | None, timeout_s: float) -> Iterator[Received]:
    """Every frame, as many as fill the seconds; ends early when none comes within the timeout."""
    wanted = None if seconds is None else max(1, round(seconds * client.facts.fps))
    with client.watching(every=True) as frames:
        count = 0
        while wanted is None or count < wanted:
            received = frames.next(timeout_s)
            if received is None:
                typer.echo(f"magi-rt: no frame came for {timeout_s:g} s", err=True)
                return
            count += 1
            yield received


def _show(address: str, seconds: float | None, keys: Path | None) -> int:
    """Show the newest frame in a window until it is closed. Returns the exit code."""
    from magi_rt.stream.subscriber import FrameSubscriber

    window = Window(f"magi-rt {address}")
    end_s = float("inf") if seconds is None else time.monotonic() + seconds
    with (
        InterruptGuard() as guard,
        FrameSubscriber(address, format="bgr8", curve=client_keys(keys)) as frames,
    ):
        try:
            while time.monotonic() < end_s and window.turn(frames):
                pass
        except KeyboardInterrupt:
            pass
        finally:
            window.close()
    return guard.exit_code


class Window:
    """A window of OpenCV.

    Raises:
        OptionError: there is no display, or no OpenCV that can open windows.
    """

    def __init__(self, title: str) -> None:
        self._cv2 = _cv2()
        self._title = title
        self._shown: Received | None = None
        self._lost = False
        try:
            self._cv2.namedWindow(title, self._cv2.WINDOW_NORMAL)
        except self._cv2.error as error:
            raise OptionError(
                "the OpenCV of this environment cannot open windows: pip uninstall "
                "opencv-python-headless, then pip install opencv-python, or use "
                "--headless out.mp4 --seconds 10"
            ) from error

    def turn(self, frames: FrameSubscriber) -> bool:
        """Shows what is new; False once the window is to be closed."""
        received = frames.latest()
        if received is not None and received is not self._shown:
            self._picture(received)
        if frames.connected is self._lost:
            self._lost = not frames.connected
            note = ": the server is lost, waiting" if self._lost else ""
            self._cv2.setWindowTitle(self._title, self._title + note)
        if self._cv2.waitKey(_TICK_MS) & 0xFF in _QUIT:
            return False
        return self._shown is None or self._cv2.getWindowProperty(self._title, 4) >= 1  # visible

    def _picture(self, received: Received) -> None:
        height, width, _ = received.pixels.shape
        if self._shown is None:
            scale = max(1, round(GOOD_SIDE / min(height, width)))
            self._cv2.resizeWindow(self._title, width * scale, height * scale)
        self._shown = received
        self._cv2.imshow(self._title, received.pixels)

    def close(self) -> None:
        """Closes the window."""
        self._cv2.destroyAllWindows()


def _cv2() -> Any:
    """OpenCV; it ends the whole process where there is no display, so that is looked at first."""
    if sys.platform.startswith("linux") and not (
        os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
    ):
        raise OptionError(
            "there is no display here (DISPLAY and WAYLAND_DISPLAY are not set); use "
            "--headless out.mp4 --seconds 10"
        )
    try:
        import cv2
    except ImportError as error:
        raise OptionError(
            "a window needs OpenCV: pip install opencv-python (or use --headless out.mp4)"
        ) from error
    return cv2
