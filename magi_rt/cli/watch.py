"""`magi-rt watch`: what a server shows, in a window or as a video."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from magi_rt.cli.interrupt import InterruptGuard
from magi_rt.cli.remote import ADDRESS, Keys, Timeout, client_keys, client_of
from magi_rt.errors import MediaError, OptionError, ServerLostError

if TYPE_CHECKING:
    from magi_rt.media.video_writer import VideoWriter
    from magi_rt.stream.client import WorldClient
    from magi_rt.stream.received import Received

_QUIT = ("q", "escape")

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
    Both end when no frame comes for --timeout seconds; but a window stays while the server says
    that it lives, as a paused one does.
    The window needs opencv-python: pip install "magi-rt\\[viewer]"

    [bold]Examples[/bold]

      magi-rt watch

      magi-rt watch --headless seen.mp4 --seconds 10

      magi-rt watch tcp://192.168.0.7:5590 --keys my-client
    """
    check_seconds(seconds)
    if headless is not None:
        from magi_rt.cli.run_plan import check_target

        check_target(headless, "--headless", ".mp4")
        code = _film(address, headless, seconds, timeout, keys)
    else:
        code = _show(address, seconds, timeout, keys)
    if code:
        raise typer.Exit(code)


def check_seconds(seconds: float | None) -> None:
    """Raise OptionError unless a command can go on for so long; None is without end."""
    if seconds is not None and not 0 < seconds <= 86_400:
        raise OptionError(
            f"--seconds {seconds:g} cannot be kept; give more than 0 and at most 86400",
            field="seconds",
        )


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


def _show(address: str, seconds: float | None, timeout_s: float, keys: Path | None) -> int:
    """Show the newest frame in a window until it is closed. Returns the exit code."""
    from magi_rt.cli.windows import Window
    from magi_rt.stream.subscriber import FrameSubscriber

    window = Window(f"magi-rt {address}")
    end_s = float("inf") if seconds is None else time.monotonic() + seconds
    with (
        InterruptGuard() as guard,
        FrameSubscriber(address, format="bgr8", keys=client_keys(keys)) as frames,
    ):
        patience = _Patience(address, timeout_s)
        shown: Received | None = None
        try:
            while time.monotonic() < end_s and window.open and window.key() not in _QUIT:
                if not patience.lasts(frames.connected):
                    typer.echo(f"magi-rt: no frame came for {timeout_s:g} s", err=True)
                    break
                window.say("" if frames.connected else "the server is lost, waiting")
                received = frames.latest()
                if received is not None and received is not shown:
                    window.show(received.pixels)
                    shown = received
        except KeyboardInterrupt:
            pass
        finally:
            window.close()
    return guard.exit_code


class _Patience:
    """How long a window waits for a server that says nothing; a paused one says that it lives."""

    def __init__(self, address: str, timeout_s: float) -> None:
        self._address, self._timeout_s = address, timeout_s
        self._heard, self._last_s = False, time.monotonic()

    def lasts(self, connected: bool) -> bool:
        """False once the server was silent for too long; ServerLostError if it always was."""
        if connected:
            self._heard, self._last_s = True, time.monotonic()
        if time.monotonic() - self._last_s < self._timeout_s:
            return True
        if self._heard:
            return False
        raise ServerLostError(
            f"no answer from {self._address} within {self._timeout_s:g} s: is a server running "
            "there, and if it wants keys, does it know this client's?"
        )
