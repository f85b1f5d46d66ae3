"""`magi-rt serve`: a world that others watch and steer."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from magi_rt.cli.interrupt import InterruptGuard
from magi_rt.cli.watch import check_seconds
from magi_rt.cli.world_options import Attention, Backend, Device, Dtype, Size, Steps, Window
from magi_rt.errors import OptionError

if TYPE_CHECKING:
    from magi_rt.stream.server import WorldServer

_WHERE = "Who can reach it"
_HOW = "How it is made"
_SHOWN = "What is shown"

Model = Annotated[
    str,
    typer.Argument(
        metavar="[NAME|DIR]",
        help="nano (built in), dummy (colours for tests), or a model folder.",
    ),
]
Port = Annotated[
    int,
    typer.Option(
        metavar="N",
        min=0,
        max=65534,
        help="Frames go out here, requests come in on the next one; 0 takes free ones.",
        rich_help_panel=_WHERE,
    ),
]
Bind = Annotated[
    str,
    typer.Option(
        metavar="HOST|ADDRESS",
        help="Interface to listen on, or a whole address such as ipc:///tmp/world. "
        "Beyond this machine --keys is needed.",
        rich_help_panel=_WHERE,
    ),
]
Keys = Annotated[
    Path | None,
    typer.Option(
        metavar="DIR",
        help="Folder made by magi-rt keys: only the clients allowed there may connect.",
        rich_help_panel=_WHERE,
    ),
]
Snapshots = Annotated[
    Path | None,
    typer.Option(
        metavar="DIR",
        help="The one folder that clients may write snapshots to; without it they may not.",
        rich_help_panel=_WHERE,
    ),
]
Fps = Annotated[
    float | None,
    typer.Option(
        metavar="N",
        help="Frames shown per second, 1 to 240. The world's own if left out.",
        rich_help_panel=_SHOWN,
    ),
]
Prompt = Annotated[
    str,
    typer.Option(
        "--prompt", "-p", help="What is shown from every beginning on.", rich_help_panel=_SHOWN
    ),
]
Image = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="First picture (PNG, JPEG, WebP).", rich_help_panel=_SHOWN),
]
Seed = Annotated[
    int,
    typer.Option(metavar="N", help="Another number, another world.", rich_help_panel=_SHOWN),
]
Buffer = Annotated[
    int,
    typer.Option(
        metavar="N",
        help="Chunks made ahead of the one being shown, 1 to 8: more rides out a slow moment, "
        "fewer obeys sooner.",
        rich_help_panel=_SHOWN,
    ),
]
Adapt = Annotated[
    bool,
    typer.Option(
        "--adapt",
        help="Keep --fps by taking fewer or more steps, as the clock allows; for distilled models. "
        "--steps is then the most.",
        rich_help_panel=_HOW,
    ),
]
Seconds = Annotated[
    float | None,
    typer.Option(metavar="S", help="End after so many seconds.", rich_help_panel=_SHOWN),
]


def serve(
    model: Model = "nano",
    port: Port = 5590,
    bind: Bind = "127.0.0.1",
    fps: Fps = None,
    prompt: Prompt = "",
    image: Image = None,
    seed: Seed = 0,
    buffer: Buffer = 1,
    seconds: Seconds = None,
    snapshots: Snapshots = None,
    keys: Keys = None,
    steps: Steps = None,
    adapt: Adapt = False,
    window: Window = None,
    size: Size = None,
    backend: Backend = "auto",
    device: Device = "auto",
    dtype: Dtype = "auto",
    attention: Attention = "auto",
) -> None:
    """Run a world that others watch and steer: frames out, prompts in.

    Frames go out at a steady pace to any number of readers; requests come in on the next port.
    Watch with magi-rt watch, steer with magi-rt prompt, or from Python, C, C++, C#, Unity, Unreal.

    [bold]Examples[/bold]

      magi-rt serve

      magi-rt serve nano --prompt "a red ball in a room by day" --fps 24 --snapshots saved

      magi-rt serve --bind 0.0.0.0 --keys my-keys
    """
    from magi_rt.cli.run_plan import check_model, parse_size
    from magi_rt.stream.addresses import control_address
    from magi_rt.stream.keys import ServerKeys, refuse_open_door
    from magi_rt.world.options import WorldOptions
    from magi_rt.world.prompt_text import checked_prompt

    check_seconds(seconds)
    options = WorldOptions(
        seed=seed, steps=steps, window=window, size=None if size is None else parse_size(size),
        backend=backend, device=device, dtype=dtype, attention=attention, adapt=adapt,
        fps=fps if adapt else None,
    )  # fmt: skip
    address = whole_address(bind, port)
    server_keys = None if keys is None else ServerKeys.load(keys)
    for each in (address, control_address(address)):
        refuse_open_door(each, server_keys)
    if snapshots is not None and not snapshots.is_dir():
        raise OptionError(f"--snapshots {snapshots} is no folder; make it first", field="snapshots")
    checked_prompt(prompt)
    check_model(model, options)

    from magi_rt.stream.server import WorldServer, check_serving
    from magi_rt.world import World

    check_serving(1.0 if fps is None else fps, buffer)
    world = World.open(
        model, image=image, seed=seed, steps=steps, window=window, size=options.size,
        backend=backend, device=device, dtype=dtype, attention=attention, adapt=options.adapt,
        fps=options.fps,
    )  # fmt: skip
    server = WorldServer(
        world, address, fps=fps, buffer=buffer, prompt=prompt, snapshots=snapshots,
        keys=server_keys,
    )  # fmt: skip
    _serve(server, seconds)


def whole_address(bind: str, port: int) -> str:
    """The frames address of `--bind` and `--port`; OptionError when they make none."""
    from magi_rt.stream.addresses import checked_address

    if "://" in bind:
        return checked_address(bind)
    host = f"[{bind}]" if ":" in bind and not bind.startswith("[") else bind
    return checked_address(f"tcp://{host}:{port or '*'}")


def _serve(server: WorldServer, seconds: float | None) -> None:
    """Say where the server is to be found, and serve until somebody ends it."""
    facts = server.facts
    with InterruptGuard() as guard:
        try:
            typer.echo(
                f"{facts['model']}, {facts['height']}x{facts['width']} (height x width), at "
                f"{facts['fps']:g} frames per second; at most {facts['buffer_ms']:.0f} ms "
                "are made ahead"
            )
            typer.echo(f"frames on {server.address}, requests on {server.control_address}")
            typer.echo("Ctrl-C ends it")
            server.run(seconds)
        except KeyboardInterrupt:
            typer.echo("magi-rt: stopped", err=True)
        finally:
            server.close()
            typer.echo(_in_the_end(server.stats()))
    if guard.exit_code:
        raise typer.Exit(guard.exit_code)


def _in_the_end(counts: dict[str, Any]) -> str:
    """How well the world kept up."""
    shown, late = counts["frames_shown"], counts["frames_late"]
    if not late:
        return f"{shown:,} frames shown, each in time"
    return (
        f"{shown:,} frames shown; {late:,} times the next one was not there in time: fewer --steps "
        "or --fps, or a larger --buffer, give it more"
    )
