"""`magi-rt bench`: how fast a world runs and a stream travels, and whether it stays so."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from magi_rt.bench import LEAST_ENDURANCE_CHUNKS, LEAST_WORLD_CHUNKS
from magi_rt.cli.bench_backends import bench_backends_command
from magi_rt.cli.bench_gpu import bench_gpu_command
from magi_rt.cli.bench_page import bench_page_command
from magi_rt.cli.bench_progress import Quiet, progress
from magi_rt.cli.bench_stream import bench_stream_command

if TYPE_CHECKING:
    from magi_rt.bench.measure import Numbers
    from magi_rt.bench.subject import Subject

CHUNKS_LIMIT = 1_000_000

bench = typer.Typer(
    no_args_is_help=False,
    help="""Measure speed against a plain implementation, cost over a long run, and streams.

    Every measurement ends in one line of JSON that names what was measured, and on what.

    [bold]Examples[/bold]

      magi-rt bench world

      magi-rt bench endurance --model tiny --chunks 2000

      magi-rt bench stream transport
    """,
)
bench.command("backends")(bench_backends_command)
bench.command("gpu")(bench_gpu_command)
bench.command("page")(bench_page_command)
bench.command("stream")(bench_stream_command)

Model = Annotated[
    str,
    typer.Option(
        "--model",
        "-m",
        metavar="NAME|DIR",
        help="nano, a model folder, or tiny (a very small shape with random weights).",
    ),
]
Steps = Annotated[
    int | None,
    typer.Option(metavar="N", help="Denoising steps of a chunk; the model's own if left out."),
]
Window = Annotated[int | None, typer.Option(metavar="N", help="Chunks in flight at once, 1 to 4.")]
Size = Annotated[
    str | None, typer.Option(metavar="HxW", help="Height x width of the world in pixels.")
]
Seed = Annotated[int, typer.Option(metavar="N", help="Noise follows from it.")]
Backend = Annotated[
    str,
    typer.Option(metavar="NAME", help="What computes: auto, eager, openvino, onnx or compiled."),
]
Device = Annotated[str, typer.Option(metavar="NAME", help="auto, cpu, cuda or cuda:N.")]
Dtype = Annotated[str, typer.Option(metavar="NAME", help="auto, float32 or bfloat16.")]
RandomWeights = Annotated[
    bool,
    typer.Option(
        "--random-weights",
        help="Fill the shape of nano or of a published variant (4.5B-distill) with random "
        "weights: no checkpoint is needed, pictures are noise.",
    ),
]
NoPlain = Annotated[
    bool, typer.Option("--no-plain", help="Leave the plain implementation out; much quicker.")
]
WorldChunks = Annotated[
    int,
    typer.Option(
        metavar="N", min=LEAST_WORLD_CHUNKS, max=CHUNKS_LIMIT, help="Chunks generated each way."
    ),
]
EnduranceChunks = Annotated[
    int,
    typer.Option(
        metavar="N", min=LEAST_ENDURANCE_CHUNKS, max=CHUNKS_LIMIT, help="Chunks generated."
    ),
]


@bench.command("world")
def bench_world_command(
    model: Model = "nano",
    chunks: WorldChunks = 40,
    steps: Steps = None,
    window: Window = None,
    size: Size = None,
    seed: Seed = 0,
    backend: Backend = "auto",
    device: Device = "auto",
    dtype: Dtype = "auto",
    random_weights: RandomWeights = False,
    no_plain: NoPlain = False,
    quiet: Quiet = False,
) -> None:
    """Frames per second, time from a prompt to its frames, and how much faster than plain.

    The plain implementation keeps and joins the whole history and computes everything again in
    every call. Both take turns chunk by chunk under the same prompts and noise. The plain way is
    PyTorch's, in the same number format where it can, with the backend's own decoder; the last line
    names all three.

    [bold]Example[/bold]

      magi-rt bench world --chunks 100
    """
    keep_memory()
    from magi_rt.bench.world import bench_world, refuse_quantised
    from magi_rt.checkpoints.layout import locate

    if not (no_plain or random_weights or model in ("tiny", "dummy")):
        refuse_quantised(locate(model).config)  # before gigabytes are read
    subject = _open(
        model, random_weights, steps=steps, window=window, size=size, seed=seed,
        backend=backend, device=device, dtype=dtype,
    )  # fmt: skip
    with progress(chunks, quiet) as tell:
        numbers = bench_world(subject, chunks=chunks, plain=not no_plain, tell=tell)
    _show(numbers, quiet)


@bench.command("endurance")
def bench_endurance_command(
    model: Model = "nano",
    chunks: EnduranceChunks = 2000,
    steps: Steps = None,
    window: Window = None,
    size: Size = None,
    seed: Seed = 0,
    backend: Backend = "auto",
    device: Device = "auto",
    dtype: Dtype = "auto",
    random_weights: RandomWeights = False,
    quiet: Quiet = False,
) -> None:
    """Whether memory and chunk time stay what they were, over thousands of chunks.

    [bold]Examples[/bold]

      magi-rt bench endurance --model tiny

      magi-rt bench endurance --model 4.5B-distill --random-weights --size 256x256 --steps 8
    """
    # The ordinary allocator: one that keeps freed memory would be what is measured.
    from magi_rt.bench.endurance import bench_endurance

    subject = _open(
        model, random_weights, steps=steps, window=window, size=size, seed=seed,
        backend=backend, device=device, dtype=dtype,
    )  # fmt: skip
    with progress(chunks, quiet) as tell:
        numbers = bench_endurance(subject, chunks=chunks, tell=tell)
    _show(numbers, quiet)


@bench.command("overhead")
def bench_overhead_command(
    model: Model = "nano",
    chunks: Annotated[
        int, typer.Option(metavar="N", min=20, max=CHUNKS_LIMIT, help="Chunks generated each way.")
    ] = 100,
    steps: Steps = None,
    window: Window = None,
    size: Size = None,
    backend: Backend = "auto",
    quiet: Quiet = False,
) -> None:
    """What a chunk costs besides its networks, as a share of its time and per step.

    A world of the same shape runs on an executor that computes nothing: what is left is scheduling,
    bookkeeping of the memory, and copies.

    [bold]Example[/bold]

      magi-rt bench overhead
    """
    keep_memory()
    from magi_rt.bench.overhead import bench_overhead

    subject = _open(
        model, False, steps=steps, window=window, size=size, seed=0, backend=backend,
        device="cpu", dtype="auto",
    )  # fmt: skip
    with progress(chunks, quiet) as tell:
        numbers = bench_overhead(subject, chunks=chunks, tell=tell)
    _show(numbers, quiet)


def keep_memory() -> None:
    """Restart this process once with an allocator that keeps freed memory; the report says so."""
    from magi_rt.training.loop import restart_with_kept_memory

    restart_with_kept_memory()


def _open(
    model: str,
    random_weights: bool,
    *,
    steps: int | None,
    window: int | None,
    size: str | None,
    seed: int,
    backend: str,
    device: str,
    dtype: str,
) -> Subject:
    from magi_rt.bench.subject import open_subject
    from magi_rt.cli.run_plan import parse_size
    from magi_rt.world.options import WorldOptions

    options = WorldOptions(
        seed=seed, steps=steps, window=window, size=None if size is None else parse_size(size),
        backend=backend, device=device, dtype=dtype,
    )  # fmt: skip
    return open_subject(model, options, random_weights=random_weights)


def _show(numbers: Numbers, quiet: bool) -> None:
    from magi_rt.bench.report import json_line, table

    if not quiet:
        from rich.console import Console

        Console().print(table(numbers))
    typer.echo(json_line(numbers))
