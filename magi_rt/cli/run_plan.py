"""Every wish given to `magi-rt run`, checked before a model is opened or a file is touched."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from magi_rt.cli.story import Story, default_story, told_story
from magi_rt.config import MagiConfig
from magi_rt.errors import MediaError, OptionError

if TYPE_CHECKING:
    from magi_rt.world.options import WorldOptions

MAX_SECONDS = 3600.0
"""Longest video of one run, in seconds."""

MAX_SCALE = 32
GOOD_SIDE = 256
"""Small worlds are enlarged until their shorter side has this many pixels or a little more."""

_LEAST_MULTIPLE = 8
_SIZE = re.compile(r"\s*(\d{1,6})\s*[xX]\s*(\d{1,6})\s*")


@dataclass(frozen=True)
class RunWishes:
    """The options of `magi-rt run` as they were typed; None where nothing was."""

    prompt: str | None = None
    then: Sequence[str] = ()
    image: Path | None = None
    video: Path | None = None
    seconds: float = 10.0
    seed: int = 0
    model: str = "nano"
    steps: int | None = None
    window: int | None = None
    size: str | None = None
    backend: str = "auto"
    device: str = "auto"
    dtype: str = "auto"
    attention: str = "auto"
    scale: int | None = None
    out: Path = Path("magi-world.mp4")
    sheet: Path | None = None
    log: Path | None = None


@dataclass(frozen=True)
class RunPlan:
    """What will be done: all of it checked as far as it can be without opening the model.

    `frames` is the length of the video in frames; `scale` None means: fit small worlds.
    """

    model: str
    config: MagiConfig
    options: WorldOptions
    story: Story
    frames: int
    image: Path | None
    video: Path | None
    scale: int | None
    out: Path
    sheet: Path
    log: Path | None


def plan_run(wishes: RunWishes) -> RunPlan:
    """Check the wishes: numbers first, then prompts, outputs, the model's folder, inputs.

    Raises the MagiError that says what was wrong and what would be right.
    """
    check_seconds(wishes.seconds)
    from magi_rt.world.options import WorldOptions  # with numpy: not for --help

    options = WorldOptions(
        seed=wishes.seed,
        steps=wishes.steps,
        window=wishes.window,
        size=None if wishes.size is None else parse_size(wishes.size),
        backend=wishes.backend,
        device=wishes.device,
        dtype=wishes.dtype,
        attention=wishes.attention,
        history=0,  # nothing is rewound here, so nothing is copied
    )
    _check_scale(wishes.scale)
    turns = _story(wishes)
    if wishes.image is not None and wishes.video is not None:
        raise OptionError(
            "--image and --video are both given; a world starts from one of them", field="video"
        )
    out, sheet = _outputs(wishes)
    config = check_model(wishes.model, options)
    _check_told(wishes)
    frames = max(1, round(wishes.seconds * config.runtime.fps))
    _check_start(wishes, config)
    return RunPlan(
        wishes.model, config, options, turns, frames,
        wishes.image, wishes.video, wishes.scale, out, sheet, wishes.log,
    )  # fmt: skip


def check_seconds(seconds: float) -> None:
    """Raise OptionError unless 0 < seconds <= MAX_SECONDS."""
    if not (math.isfinite(seconds) and 0 < seconds <= MAX_SECONDS):
        raise OptionError(
            f"--seconds {seconds:g} cannot be a video; give more than 0 and at most "
            f"{MAX_SECONDS:g}",
            field="seconds",
        )


def parse_size(text: str) -> tuple[int, int]:
    """ "HxW" in pixels as (height, width); OptionError when it is none or fits no model."""
    from magi_rt.world.options import SIDE_LIMIT, fitted_size

    found = _SIZE.fullmatch(text)
    if found is None:
        raise OptionError(
            f"--size {text!r} is not a size; write height x width in pixels, as in 64x64",
            field="size",
        )
    size = int(found[1]), int(found[2])
    if not all(1 <= side <= SIDE_LIMIT for side in size):
        raise OptionError(
            f"--size {text} is outside what can be made; sides go up to {SIDE_LIMIT} pixels",
            field="size",
        )
    # a model may ask for a larger multiple still; it says so itself
    return fitted_size(size, _LEAST_MULTIPLE)


def _check_scale(scale: int | None) -> None:
    if scale is not None and not 1 <= scale <= MAX_SCALE:
        raise OptionError(
            f"--scale {scale} cannot enlarge the video; give a whole number from 1 to {MAX_SCALE}",
            field="scale",
        )


def _story(wishes: RunWishes) -> Story:
    told = wishes.prompt is not None or wishes.then or wishes.image or wishes.video
    if not told:
        return default_story(wishes.seconds)
    return told_story(wishes.prompt or "", wishes.then, wishes.seconds)


def _check_told(wishes: RunWishes) -> None:
    """The story that is told without one is of the built-in world, in its words."""
    from magi_rt.checkpoints.layout import BUILT_IN

    told = wishes.prompt is not None or wishes.then or wishes.image or wishes.video
    if not told and wishes.model not in (*BUILT_IN, "dummy"):
        raise OptionError(
            f"{wishes.model} is not the built-in world, whose story would be told: say what to "
            'show with --prompt "...", or --prompt "" for nothing',
            field="prompt",
        )


def check_model(model: str, options: WorldOptions) -> MagiConfig:
    """The configuration of a model whose folder is complete and whose steps and window fit."""
    from magi_rt.backends.choose import check_device, check_dtype, resolve_backend
    from magi_rt.sampling.schedule import SamplerConfig

    resolve_backend(model, options.backend)
    check_device(options.device)
    check_dtype(options.dtype)
    if model == "dummy":
        from magi_rt.backends.dummy import DUMMY_CONFIG as config
    else:
        from magi_rt.checkpoints.layout import resolve

        config = resolve(model).config
    SamplerConfig.from_config(config, steps=options.steps, window=options.window)
    return config


def _check_start(wishes: RunWishes, config: MagiConfig) -> None:
    if wishes.image is not None:
        from magi_rt.media.pictures import read_image

        read_image(wishes.image)
    if wishes.video is not None:
        _check_video(wishes.video, config)


def _check_video(path: Path, config: MagiConfig) -> None:
    from magi_rt.media.video_reader import read_video

    fps, chunk = config.runtime.fps, config.runtime.frames_per_chunk
    frames = len(read_video(path, fps=fps, limit=chunk, size=(2, 2)))
    if frames < chunk:
        raise MediaError(
            f"video {path} has {frames} frames at {fps} per second; a world continues from at "
            f"least one chunk, which is {chunk} ({chunk / fps:.2f} s)",
            field="video",
        )


def _outputs(wishes: RunWishes) -> tuple[Path, Path]:
    out = wishes.out
    check_target(out, "--out", ".mp4")
    sheet = wishes.sheet or out.with_suffix(".png")
    check_target(sheet, "--sheet", ".png")
    if wishes.log is not None:
        check_target(wishes.log, "--log", ".json")
    for given in (wishes.image, wishes.video):
        for target in (out, sheet):
            if given is not None and _same_file(given, target):
                raise OptionError(
                    f"{target} would be written over the picture or video the world starts from; "
                    "choose another --out or --sheet",
                    field="out",
                )
    return out, sheet


def _same_file(given: Path, target: Path) -> bool:
    return given.exists() and target.exists() and target.samefile(given)


def check_target(path: Path, option: str, suffix: str) -> None:
    """Raise OptionError unless a file `path` with that suffix can be made."""
    if path.is_dir():
        raise OptionError(f"{option} {path} is a folder; name a file in it", field=option)
    if path.suffix.lower() != suffix:
        raise OptionError(
            f"{option} {path} must end in {suffix}; try {path.with_suffix(suffix)}", field=option
        )
    folder = path.parent
    if not folder.is_dir():
        raise OptionError(
            f"{option} {path} lies in a folder that does not exist; make {folder} first",
            field=option,
        )
    if not os.access(folder, os.W_OK):
        raise OptionError(
            f"{option} {path} lies in a folder that may not be written to; choose another",
            field=option,
        )
