"""`magi-rt plan`: which size, steps, window and precision keep up with a clock on a GPU."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from pathlib import Path

    from magi_rt.planner.chips import Chip
    from magi_rt.planner.plan import Choice, Wish
    from magi_rt.planner.work import Subject

NOTHING_FITS = 1
"""Exit code when no choice does what is wished."""

Model = Annotated[
    str,
    typer.Option(
        "--model",
        "-m",
        metavar="NAME|DIR",
        help="nano, a published variant (4.5b-distill), or a model folder.",
    ),
]
Gpu = Annotated[
    str,
    typer.Option(
        metavar="NAME",
        help="rtx3090, rtx4090, rtx5090, a100, h100, h200, b200, or cpu: this processor, "
        "measured for a second.",
    ),
]
Fps = Annotated[float, typer.Option(metavar="N", help="Pictures per second that must be made.")]
Memory = Annotated[
    float | None,
    typer.Option(metavar="GIB", help="Memory that may be taken; the GPU's if left out."),
]
Delay = Annotated[
    float | None, typer.Option(metavar="S", help="Longest wait from a prompt to its picture.")
]
Size = Annotated[
    str | None, typer.Option(metavar="HxW", help="Only this height x width, in pixels.")
]
Steps = Annotated[int | None, typer.Option(metavar="N", help="Only this many denoising steps.")]
Window = Annotated[int | None, typer.Option(metavar="N", help="Only this many chunks in flight.")]
WayToCompute = Annotated[
    str | None,
    typer.Option(
        "--precision",
        metavar="NAME",
        help="Only bf16, fp8, fp16-quick, fp8-attention or fp8-quick; the first two if left out, "
        "because nobody has compared the pictures of the others.",
    ),
]
Share = Annotated[
    float | None,
    typer.Option(
        metavar="F",
        help="Part of the GPU's peak that the denoiser sustains, 0.05 to 1; 0.45 if left out.",
    ),
]
Everything = Annotated[
    bool, typer.Option("--all", help="Every choice that fits, not only the largest pictures.")
]
AsJson = Annotated[bool, typer.Option("--json", help="One JSON object instead of a table.")]


def plan(
    model: Model = "4.5b-distill",
    gpu: Gpu = "rtx4090",
    fps: Fps = 24.0,
    memory: Memory = None,
    delay: Delay = None,
    size: Size = None,
    steps: Steps = None,
    window: Window = None,
    precision: WayToCompute = None,
    share: Share = None,
    everything: Everything = False,
    as_json: AsJson = False,
) -> None:
    """Say what a GPU can do with a model, before either is there.

    Prints size, steps, window and precision that make enough pictures per second, with memory and
    delay. When nothing does, it says so, and what is nearest; the exit code is then 1.

    [bold]Examples[/bold]

      magi-rt plan --model 4.5b-distill --gpu rtx4090 --fps 24

      magi-rt plan --model 24b-distill --gpu h100 --size 480x480 --json

      magi-rt plan --model nano --gpu cpu
    """
    from magi_rt.cli.run_plan import parse_size
    from magi_rt.planner.plan import Wish, best, choices, nearest
    from magi_rt.planner.remarks import remarks

    subject = subject_of(model)
    chip = _chip(gpu, share, subject)
    wish = Wish(
        fps=fps, memory_gib=memory, delay_s=delay,
        sizes=() if size is None else (parse_size(size),),
        steps=() if steps is None else (steps,),
        windows=() if window is None else (_checked_window(window),),
        precisions=_precisions(precision, chip),
    )  # fmt: skip
    found = choices(subject, chip, wish)
    shown = [each for each in found if each.fits] if everything else best(found)
    said = [] if shown else nearest(subject, chip, wish, found)
    notes = remarks(subject, chip, shown, fps)
    if as_json:
        typer.echo(json.dumps(_as_json(subject, chip, wish, shown, said, notes)))
    else:
        _print(subject, chip, wish, shown, said, notes)
    if not shown:
        raise typer.Exit(NOTHING_FITS)


def subject_of(model: str) -> Subject:
    """A published variant by name, or what a model folder holds.

    Raises:
        CheckpointError, ConfigError: there is no such model, or it is damaged.
    """
    from magi_rt.checkpoints.layout import locate
    from magi_rt.models.vae_config import VAEConfig
    from magi_rt.planner.work import PUBLISHED_TEXT_BYTES, PUBLISHED_VAE, Subject, VaeShape
    from magi_rt.presets import PRESETS

    published = {name.lower(): name for name in PRESETS}
    if model.lower() in published:
        name = published[model.lower()]
        return Subject(name, PRESETS[name])
    found = locate(model)
    vae, text = PUBLISHED_VAE, float(PUBLISHED_TEXT_BYTES)
    if found.vae is not None:
        card = VAEConfig.from_file(found.vae / "config.json").to_card()
        vae = VaeShape.from_card(card["ddconfig"])
    if found.text_encoder is not None:
        text = _text_bytes(found.text_encoder)
    return Subject(found.name, found.config, vae, text)


def _text_bytes(folder: Path) -> float:
    """Memory of a T5's encoder, which is held in float32 whatever its files hold.

    Raises:
        CheckpointError: its weights are not there, or damaged.
    """
    from magi_rt.checkpoints.headers import open_weights

    held = {
        name: tensor.elements
        for name, tensor in open_weights(folder).tensors.items()
        if name.startswith(("encoder.", "shared."))
    }
    if "shared.weight" in held:
        held.pop("encoder.embed_tokens.weight", None)  # the same numbers under another name
    return 4.0 * sum(held.values())


def _chip(name: str, share: float | None, subject: Subject) -> Chip:
    from dataclasses import replace

    from magi_rt.errors import OptionError
    from magi_rt.planner.chips import CPU, gpu

    if share is not None and not 0.05 <= share <= 1:
        raise OptionError(f"share is {share:g}; it must be from 0.05 to 1", field="share")
    if name.lower() == CPU:
        from magi_rt.planner.probe import this_cpu

        chip = this_cpu(subject)
    else:
        chip = gpu(name)
    return chip if share is None else replace(chip, share=share)


def _precisions(name: str | None, chip: Chip) -> tuple[Any, ...]:
    from magi_rt.planner.chips import precision

    return () if name is None else (precision(name, chip),)


def _checked_window(window: int) -> int:
    from magi_rt.errors import OptionError

    if not 1 <= window <= 4:
        raise OptionError(
            f"a window of {window} chunks cannot be chosen; use 1 to 4", field="window"
        )
    return window


def row(subject: Subject, choice: Choice) -> dict[str, Any]:
    """One choice as JSON values; times in seconds, memory in GiB."""
    from magi_rt.planner.memory import GIB
    from magi_rt.planner.remarks import never_seen

    memory = choice.memory
    return {
        "size": list(choice.size),
        "steps": choice.steps,
        "window": choice.window,
        "precision": choice.precision.name,
        "fps": round(choice.fps, 2),
        "delay_s": round(choice.timing.delay, 3),
        "first_s": round(choice.timing.first, 3),
        "denoise_s": round(choice.timing.denoise, 4),
        "decode_s": round(choice.timing.decode, 4),
        "memory_gib": round(memory.total / GIB, 2),
        "weights_gib": round(memory.weights / GIB, 2),
        "never_seen_so_small": never_seen(subject, choice),
    }


def _as_json(
    subject: Subject,
    chip: Chip,
    wish: Wish,
    shown: list[Choice],
    said: list[str],
    notes: list[str],
) -> dict[str, Any]:
    return {
        "model": subject.name,
        "gpu": chip.name,
        "source": chip.source,
        "share": chip.share,
        "fps": wish.fps,
        "memory_gib": wish.memory_gib or round(chip.memory_gib, 1),
        "fits": bool(shown),
        "choices": [row(subject, each) for each in shown],
        "nearest": said,
        "notes": notes,
    }


def _print(
    subject: Subject,
    chip: Chip,
    wish: Wish,
    shown: list[Choice],
    said: list[str],
    notes: list[str],
) -> None:
    from rich.markup import escape

    from magi_rt.cli.consoles import for_tables

    console = for_tables()
    if shown:
        console.print(f"{subject.name} on {chip.name} at {wish.fps:g} pictures per second:")
        console.print(_table(subject, shown))
    else:
        console.print(f"no: {subject.name} on {chip.name} does not do what is asked for. Nearest:")
        for sentence in said:
            console.print(f"  {escape(sentence)}")
    for note in notes:
        console.print(f"note: {escape(note)}")


def _table(subject: Subject, shown: list[Choice]) -> Any:
    from rich import box
    from rich.table import Table

    from magi_rt.planner.memory import GIB
    from magi_rt.planner.remarks import never_seen

    table = Table(box=box.SIMPLE, pad_edge=False)
    for heading in ("size", "steps", "window", "precision", "fps", "prompt to picture", "memory"):
        table.add_column(heading, justify="left" if heading == "precision" else "right")
    for each in shown:
        table.add_row(
            f"{each.size[0]}x{each.size[1]}{'*' if never_seen(subject, each) else ' '}",
            str(each.steps), str(each.window), each.precision.name, f"{each.fps:.1f}",
            f"{each.timing.delay:.2f} s", f"{each.memory.total / GIB:.1f} GiB",
        )  # fmt: skip
    return table
