"""Pictures of a decoder whose latents do not quite agree, made to change smoothly."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Pixels = npt.NDArray[np.uint8]


def deflickered(
    pixels: Pixels, before: Pixels | None, levels: float, frames_per_latent: int
) -> Pixels:
    """Spreads small jumps from latent to latent over the pictures of the later one.

    A decoder draws the pictures of one latent alike and those of the next one a little otherwise,
    so that what stands still twitches whenever a latent begins. A jump of up to ``levels`` goes
    in equal parts over the pictures of the latent, one of twice as much or more is something that
    happens and stays, and between the two a part of it is spread. A latent's last picture is what
    it was, so nothing adds up, and a chunk follows from itself and one picture.

    Args:
        pixels: [T, H, W, 3], from the beginning of a latent on.
        before: [H, W, 3], what was shown last; None at the beginning.
        levels: above 0; of 255, in the colour that jumps most.
    """
    smooth = pixels.copy()
    for first in range(0, len(pixels), frames_per_latent):
        last = before if first == 0 else pixels[first - 1]
        if last is None:
            continue
        jump = np.subtract(pixels[first], last, dtype=np.int16)
        size = np.maximum.reduce([np.abs(jump[..., colour]) for colour in range(3)])
        part = jump * np.clip(2 - size / np.float32(levels), 0, 1)[..., None]
        end = min(first + frames_per_latent, len(pixels))
        for place in range(first, end - 1):
            shown = pixels[place] - part * np.float32((end - 1 - place) / (end - first))
            smooth[place] = np.clip(np.rint(shown, out=shown), 0, 255, out=shown)
    return smooth
