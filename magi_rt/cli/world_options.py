"""Options of every command that opens a world."""

from __future__ import annotations

from typing import Annotated

import typer

_HOW = "How it is made"

Model = Annotated[
    str,
    typer.Option(
        "--model",
        "-m",
        metavar="NAME|DIR",
        help="nano (built in), dummy (colours for tests), or a model folder.",
        rich_help_panel=_HOW,
    ),
]
Steps = Annotated[
    int | None,
    typer.Option(
        metavar="N",
        help="Denoising steps of a chunk (the pictures that are made together): 4, 8, 12, 16, 32 "
        "or 64; fewer are faster. The model's own if left out.",
        rich_help_panel=_HOW,
    ),
]
Window = Annotated[
    int | None,
    typer.Option(
        metavar="N",
        help="Chunks in flight at once, 1 to 4: more is faster on large GPUs, and later to obey.",
        rich_help_panel=_HOW,
    ),
]
Size = Annotated[
    str | None,
    typer.Option(
        metavar="HxW", help="Height x width of the world in pixels.", rich_help_panel=_HOW
    ),
]
Backend = Annotated[
    str,
    typer.Option(
        metavar="NAME",
        help="What computes: auto (the fastest here), eager, openvino, onnx, compiled or tensorrt.",
        rich_help_panel=_HOW,
    ),
]
Device = Annotated[
    str,
    typer.Option(metavar="NAME", help="Where: auto, cpu, cuda or cuda:N.", rich_help_panel=_HOW),
]
Attention = Annotated[
    str,
    typer.Option(
        metavar="NAME",
        help="Attention of PyTorch: auto, sdpa, or sage (SageAttention: 8-bit, other numbers).",
        rich_help_panel=_HOW,
    ),
]
Dtype = Annotated[
    str,
    typer.Option(
        metavar="NAME",
        help="Number format: auto (the fastest that suits the model here), float32 or bfloat16.",
        rich_help_panel=_HOW,
    ),
]
