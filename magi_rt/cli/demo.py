"""`magi-rt demo`: a world on a page, steered by whoever opens it."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from magi_rt.cli.interrupt import endings
from magi_rt.cli.remote import Keys, client_keys, refuse_unheeded
from magi_rt.cli.serve import Model
from magi_rt.cli.watch import check_seconds
from magi_rt.cli.world_options import Backend, Device, Dtype, Size, Steps, Window
from magi_rt.errors import OptionError

if TYPE_CHECKING:
    from magi_rt.demo.serve import DemoServer
    from magi_rt.demo.worlds import Worlds

NEVER_OPENED = 1
"""Exit code when the page was served, but its world could not be opened."""

_WHERE = "Who can reach it"
_WORLD = "What it shows"

Port = Annotated[
    int,
    typer.Option(
        metavar="N", min=0, max=65535, help="Port of the page; 0 takes a free one.",
        rich_help_panel=_WHERE,
    ),
]  # fmt: skip
Host = Annotated[
    str,
    typer.Option(
        metavar="HOST",
        help="Interface to listen on; beyond this machine --token is needed.",
        rich_help_panel=_WHERE,
    ),
]
Token = Annotated[
    str,
    typer.Option(
        metavar="TEXT",
        envvar="MAGI_RT_TOKEN",
        help="What everybody must know who opens the page; 16 characters or more.",
        rich_help_panel=_WHERE,
    ),
]
Everyone = Annotated[
    bool,
    typer.Option(
        "--everyone-steers", help="No wheel: every page may steer.", rich_help_panel=_WHERE
    ),
]
Browser = Annotated[
    bool, typer.Option("--browser/--no-browser", help="Open the page in the browser.")
]
Connect = Annotated[
    str,
    typer.Option(
        metavar="ADDRESS",
        help="Show the world of a running magi-rt serve instead of one of its own.",
        rich_help_panel=_WORLD,
    ),
]
Prompt = Annotated[
    str | None,
    typer.Option(
        "--prompt",
        "-p",
        help="What is shown at every beginning; the model's own start if left out.",
        rich_help_panel=_WORLD,
    ),
]
Actions = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE.toml",
        help="What keys and gestures say, and what is suggested; the model's own if left out.",
        rich_help_panel=_WORLD,
    ),
]
Seed = Annotated[
    int,
    typer.Option(metavar="N", help="Another number, another world.", rich_help_panel=_WORLD),
]
Fps = Annotated[
    float | None,
    typer.Option(
        metavar="N", help="Frames per second; the world's own if left out.", rich_help_panel=_WORLD
    ),
]
Saved = Annotated[
    Path | None,
    typer.Option(
        metavar="DIR",
        help="Folder for snapshots and videos, which must exist; without it they last until the "
        "demo ends.",
        rich_help_panel=_WORLD,
    ),
]
Seconds = Annotated[float | None, typer.Option(metavar="S", help="End after so many seconds.")]


def demo(
    context: typer.Context,
    model: Model = "nano",
    port: Port = 8080,
    host: Host = "127.0.0.1",
    token: Token = "",
    everyone_steers: Everyone = False,
    browser: Browser = True,
    connect: Connect = "",
    keys: Keys = None,
    prompt: Prompt = None,
    actions: Actions = None,
    seed: Seed = 1,  # of which nano makes both things of its first prompt
    fps: Fps = None,
    saved: Saved = None,
    seconds: Seconds = None,
    steps: Steps = None,
    window: Window = None,
    size: Size = None,
    backend: Backend = "auto",
    device: Device = "auto",
    dtype: Dtype = "auto",
) -> None:
    """Open a page on which a world is watched and steered: type a prompt and watch it obey.

    Arrow keys pull gravity; a click on the strip below the picture goes back in time or opens a
    second picture that goes another way. The address is printed; Ctrl-C ends it. The exit code is 1
    when the world could not be opened.

    [bold]Examples[/bold]

      magi-rt demo

      magi-rt demo my-world --prompt "a green ball in a room at night"

      magi-rt demo --connect tcp://127.0.0.1:5590
    """
    from magi_rt.cli.run_plan import check_model, parse_size
    from magi_rt.demo.app import Door
    from magi_rt.demo.serve import DemoServer
    from magi_rt.stream.addresses import checked_destination
    from magi_rt.stream.server import check_serving
    from magi_rt.world.actions import ActionMap
    from magi_rt.world.options import WorldOptions
    from magi_rt.world.prompt_text import checked_prompt

    refuse_unheeded(context, connect)
    check_seconds(seconds)
    door = Door(host, token)
    if saved is not None and not saved.is_dir():
        raise OptionError(f"--saved {saved} is no folder; make it first", field="saved")
    shape = None if size is None else parse_size(size)
    options: dict[str, Any] = {
        "seed": seed, "steps": steps, "window": window, "size": shape, "backend": backend,
        "device": device, "dtype": dtype,
    }  # fmt: skip
    if connect:
        checked_destination(connect)
    else:
        check_serving(1.0 if fps is None else fps, 1)
        check_model(model, WorldOptions(**options))
    table = ActionMap.of("nano" if connect else model) if actions is None else None
    found = table if table is not None else ActionMap.load(actions or "")
    start = checked_prompt(found.start if prompt is None else prompt)
    with tempfile.TemporaryDirectory(prefix="magi_rt-") as scratch:
        folder = Path(scratch) if saved is None else saved
        worlds: Worlds
        if connect:
            from magi_rt.demo.worlds import RemoteWorlds

            worlds = RemoteWorlds(connect, client_keys(keys))
        else:
            from magi_rt.demo.worlds import LocalWorlds

            worlds = LocalWorlds(model, options, start=start, fps=fps, saved=folder)
        server = DemoServer(worlds, found, folder, door, port=port, everyone_steers=everyone_steers)
        _show(server, door.host, browser, seconds, kept=saved is not None)


def _show(
    server: DemoServer, host: str, browser: bool, seconds: float | None, *, kept: bool
) -> None:
    typer.echo(f"the world is on {server.url}")
    if host in ("0.0.0.0", "::"):
        typer.echo("from other machines, with this one's name or address in place of these numbers")
    typer.echo("Ctrl-C ends it")
    try:
        with endings(server.obey):
            server.run(browse=browser, seconds=seconds)
    finally:
        video = server.room.last_video
        if kept and video is not None and video.exists():
            typer.echo(f"written to {video}")
    if server.signal:
        raise typer.Exit(128 + server.signal)
    if server.room.failure:  # which was said when it came
        raise typer.Exit(NEVER_OPENED)
