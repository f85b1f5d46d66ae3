"""A world that begins anew with the same model: another seed, another first picture."""

from __future__ import annotations

import io
from dataclasses import replace

from magi_rt.errors import MagiError, MediaError
from magi_rt.media.pictures import Pixels, picture_to_pixels
from magi_rt.world import World

FORMATS = ("PNG", "JPEG", "WEBP")
"""Picture files that a server reads; each further decoder would be one more way in."""


def begin_anew(world: World, *, seed: int | None = None, image: bytes | None = None) -> World:
    """A world with the model and options of another, at its beginning; both take turns.

    Args:
        seed: 0 .. 2**63 - 1, None for that of the other world.
        image: a PNG, JPEG or WebP file as first picture, None for what the other began with.

    Raises:
        OptionError: the seed is out of range.
        MediaError: the picture cannot be used.
    """
    from magi_rt.world.start import read_start
    from magi_rt.world.timeline import Timeline

    # a world has no door to its machine, and only a server begins anew without opening a model
    machine = world._timeline.machine
    with machine.lock:
        if seed is not None:
            machine = replace(machine, options=replace(machine.options, seed=seed))
        if image is not None:
            start = read_start(_pixels(image), None, executor=machine.executor, size=machine.size)
            machine = replace(machine, start=start, notes=start.notes)
        return World(Timeline(machine, machine.begin()))


def _pixels(data: bytes) -> Pixels:
    from PIL import Image

    try:
        # sizes are checked before anything is decoded
        return picture_to_pixels(Image.open(io.BytesIO(data), formats=FORMATS))
    except MagiError:
        raise
    except Exception as error:  # decoders of damaged files raise almost anything
        raise MediaError(
            f"the image cannot be read ({error}); send a whole PNG, JPEG or WebP file",
            field="image",
        ) from error
