"""`magi-rt view`: a world in a window, steered by keys and typed prompts."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeAlias

import typer

from magi_rt.cli.demo import Actions, Connect, Fps, Prompt, Seed
from magi_rt.cli.interrupt import InterruptGuard
from magi_rt.cli.remote import Keys, Timeout, client_of, refuse_unheeded
from magi_rt.cli.serve import Model
from magi_rt.cli.watch import Headless, Seconds, check_seconds
from magi_rt.cli.world_options import Backend, Device, Dtype, Size, Steps
from magi_rt.cli.world_options import Window as InFlight
from magi_rt.errors import MediaError, OptionError

if TYPE_CHECKING:
    from magi_rt.cli.view_controls import Controls, Press
    from magi_rt.cli.view_session import Session
    from magi_rt.stream.client import WorldClient

_TICK_S = 0.02

World: TypeAlias = "AbstractContextManager[WorldClient]"

Videos = Annotated[
    Path,
    typer.Option(metavar="DIR", help="Where the r key puts its videos, of ten minutes at most."),
]
Presses = Annotated[
    str, typer.Option(metavar="KEY@S,...", help="Keys that go down by themselves: n@1,left@2.5.")
]


def view(
    context: typer.Context,
    model: Model = "nano",
    connect: Connect = "",
    keys: Keys = None,
    timeout: Timeout = 10.0,
    prompt: Prompt = None,
    actions: Actions = None,
    seed: Seed = 0,
    fps: Fps = None,
    videos: Videos = Path("."),
    headless: Headless = None,
    seconds: Seconds = None,
    press: Presses = "",
    steps: Steps = None,
    window: InFlight = None,
    size: Size = None,
    backend: Backend = "auto",
    device: Device = "auto",
    dtype: Dtype = "auto",
) -> None:
    """A world in a window: arrow keys pull gravity, letters change light and weather.

    Enter begins a prompt and Enter sends it, Escape leaves it. Backspace goes back a second, p
    pauses, r records, q ends. The window needs opencv-python: pip install "magi-rt\\[viewer]"

    [bold]Examples[/bold]

      magi-rt view

      magi-rt view --connect tcp://127.0.0.1:5590

      magi-rt view --headless seen.mp4 --seconds 6 --press "n@1,left@3"
    """
    from magi_rt.cli.run_plan import check_model, check_target, parse_size
    from magi_rt.cli.view_controls import Controls, parse_presses
    from magi_rt.world.actions import ActionMap
    from magi_rt.world.options import WorldOptions
    from magi_rt.world.prompt_text import checked_prompt

    refuse_unheeded(context, connect)
    check_seconds(seconds)
    if headless is not None:
        check_target(headless, "--headless", ".mp4")
    if not videos.is_dir():
        raise OptionError(f"--videos {videos} is no folder; make it first", field="videos")
    shape = None if size is None else parse_size(size)
    options: dict[str, Any] = {
        "seed": seed, "steps": steps, "window": window, "size": shape, "backend": backend,
        "device": device, "dtype": dtype,
    }  # fmt: skip
    if not connect:
        check_model(model, WorldOptions(**options))
    found = ActionMap.load(actions) if actions else ActionMap.of("nano" if connect else model)
    presses = parse_presses(press, found)
    start = checked_prompt(found.start if prompt is None else prompt)
    if connect:
        world: World = client_of(connect, timeout, keys)
    else:
        world = _opened(model, options, start, fps)
    controls = Controls(found)
    if headless is not None:
        code = _film(world, controls, videos, headless, seconds, presses, timeout)
    else:
        code = _show(world, controls, videos, seconds, presses)
    if code:
        raise typer.Exit(code)


@contextmanager
def _opened(
    model: str, options: dict[str, Any], start: str, fps: float | None
) -> Iterator[WorldClient]:
    """A client of a world of this process."""
    from magi_rt.demo.worlds import LocalWorlds

    worlds = LocalWorlds(model, options, start=start, fps=fps)
    try:
        with worlds.open() as client:
            yield client
    finally:
        worlds.close()


@contextmanager
def _session(world: World, videos: Path, every: bool) -> Iterator[Session]:
    from magi_rt.cli.view_session import Session

    with world as client:
        session = Session(client, videos, every=every)
        try:
            yield session
        finally:
            if told := session.close():
                typer.echo(told)


class _Hands:
    """Presses keys, those of the user and those that were ordered."""

    def __init__(self, controls: Controls, session: Session, presses: list[Press]) -> None:
        self._controls, self._session = controls, session
        self._presses, self._begun_s = list(presses), time.monotonic()

    @property
    def passed_s(self) -> float:
        """Seconds since the beginning."""
        return time.monotonic() - self._begun_s

    def press(self, key: str = "") -> bool:
        """This key and all whose time has come; False when one of them leaves."""
        due = [key] if key else []
        while self._presses and self._presses[0].at_s <= self.passed_s:
            due.append(self._presses.pop(0).key)
        orders = [order for each in due if (order := self._controls.press(each)) is not None]
        for order in orders:
            if order.verb == "leave":
                return False
            self._session.obey(order)
        return True


def _film(
    world: World,
    controls: Controls,
    videos: Path,
    path: Path,
    seconds: float | None,
    presses: list[Press],
    timeout_s: float,
) -> int:
    """Writes what the window would show. Returns the exit code."""
    from magi_rt.cli.view_picture import composed
    from magi_rt.media.video_writer import VideoWriter

    end_s = float("inf") if seconds is None else seconds
    with InterruptGuard() as guard, _session(world, videos, True) as session:
        first = session.frames.next(timeout_s)
        if first is None:
            raise MediaError(f"{path} was not written: no frame came", field="headless")
        height, width, _ = composed(first.pixels, "").shape
        hands = _Hands(controls, session, presses)
        fps = session.facts.fps
        with VideoWriter(path, fps=fps, height=height, width=width) as writer:
            try:
                received: Any = first
                while hands.press() and hands.passed_s < end_s:
                    if received is not None:
                        with guard.hold():
                            writer.write(composed(received.pixels, session.status(controls.typed)))
                    received = session.frames.next(_TICK_S)
            except KeyboardInterrupt:
                typer.echo("magi-rt: stopped", err=True)
        typer.echo(f"{writer.frames_written} frames written to {path}")
    return guard.exit_code


def _show(
    world: World,
    controls: Controls,
    videos: Path,
    seconds: float | None,
    presses: list[Press],
) -> int:
    """Shows the newest frame in a window until it is closed. Returns the exit code."""
    from magi_rt.cli.windows import Window

    end_s = float("inf") if seconds is None else seconds
    with InterruptGuard() as guard:
        window = Window("magi-rt view")
        typer.echo(controls.help())
        try:
            with _session(world, videos, False) as session:
                hands = _Hands(controls, session, presses)
                shown: Any = None
                while hands.press(window.key()) and window.open and hands.passed_s < end_s:
                    shown = _picture(window, session, controls, shown)
        except KeyboardInterrupt:
            pass
        finally:
            window.close()
    return guard.exit_code


def _picture(window: Any, session: Session, controls: Controls, shown: Any) -> Any:
    """Shows frame and line if one of them is another than the one shown; returns both."""
    from magi_rt.cli.view_picture import composed

    newest, line = session.frames.latest(), session.status(controls.typed)
    if newest is None or (newest, line) == shown:
        return shown
    window.show(composed(newest.pixels, line)[..., ::-1].copy())  # blue first
    return newest, line
