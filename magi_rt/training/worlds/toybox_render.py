"""How the toybox looks: soft, smooth pictures of many moments at once.

The background and its weather are drawn over whole pictures; each object only over a small window
around it. Edges are anti-aliased by the signed distance to the outline, one pixel wide.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields

import torch
from torch import Tensor

from magi_rt.training.worlds.toybox_scene import HIGH, LARGE, LOW, UNIT, WEATHER_PERIOD, State

PALETTE = (
    (216.0, 30.0, 48.0),
    (40.0, 168.0, 72.0),
    (34.0, 92.0, 232.0),
    (250.0, 220.0, 44.0),
    (164.0, 60.0, 200.0),
    (250.0, 126.0, 16.0),
)
"""The named colours by day, in the order of ``COLOURS``; 0..255 sRGB like all colours here."""
SKY = ((158.0, 186.0, 214.0), (112.0, 96.0, 134.0), (13.0, 16.0, 34.0))
"""The wall's top by day, dusk and night, as of all that follow."""
WALL = ((196.0, 206.0, 216.0), (198.0, 146.0, 128.0), (29.0, 33.0, 56.0))
"""The wall's foot."""
FLOOR = ((138.0, 130.0, 124.0), (98.0, 80.0, 80.0), (12.0, 13.0, 20.0))
RAIN = ((98.0, 120.0, 164.0), (150.0, 160.0, 208.0), (84.0, 98.0, 140.0))
SNOW = ((250.0, 251.0, 253.0), (228.0, 220.0, 222.0), (158.0, 164.0, 182.0))
SLOW = ((70.0, 90.0, 114.0), (66.0, 84.0, 106.0), (56.0, 72.0, 92.0))
"""The floor while time goes slowly. Speeds alone would not tell: a world that continues what it
sees has to know whether things are slow already, or are to become slower."""
FROZEN = ((190.0, 215.0, 235.0), (172.0, 196.0, 216.0), (146.0, 168.0, 188.0))
"""The floor while time stands still."""
PULL = ((58.0, 54.0, 62.0), (44.0, 34.0, 46.0), (118.0, 122.0, 138.0))
"""The wall that things fall to. A room at rest or standing still would not tell otherwise: things
that hang in the air float if nothing pulls, and are about to fall if something does."""
THINGS = ((1.0, 1.0, 1.0), (0.93, 0.93, 0.93), (0.82, 0.82, 0.82))
"""How bright things are: darker when it is dark, but never as dark as the wall."""
DROPS, FLAKES = 8, 8
"""Each in a column of its own that falls together with one column of the auto-encoder's patches."""
DROP_SPEED = 4.0
"""Units per frame; a whole number of falls fits the weather's period, as for flakes."""
FLAKE_SPEED = 1.0
FALL = 72.0
"""Units from where a drop appears to where it is gone."""
BEVEL = 2.0
"""Width of a box's edges, lit from the upper left."""
BLOCK = 64
"""Moments drawn in one go, so that their pictures stay near the processor."""


@dataclass(frozen=True)
class Look:
    """All that a picture shows, for M moments; lengths in room units."""

    position: Tensor
    half: Tensor
    rounding: Tensor
    opacity: Tensor
    rgb: Tensor
    light: Tensor
    falling: Tensor
    pace: Tensor
    gravity: Tensor
    clock: Tensor

    def take(self, rows: slice) -> Look:
        """The look of some of the moments."""
        return Look(**{field.name: getattr(self, field.name)[rows] for field in fields(self)})


def look(state: State) -> Look:
    """The look of B clips at one moment: M = B."""
    palette = torch.tensor(PALETTE, device=state.position.device)
    mix = state.colour_mix.unsqueeze(-1)
    mix = mix * mix * (3 - 2 * mix)
    rgb = torch.lerp(palette[state.colour_before], palette[state.colour], mix)
    return Look(
        position=state.position,
        half=state.half,
        rounding=state.rounding,
        opacity=state.opacity,
        rgb=rgb,
        light=state.light,
        falling=state.falling,
        pace=state.pace,
        gravity=state.gravity,
        clock=state.clock,
    )


def pictures(view: Look, size: int) -> Tensor:
    """uint8 [M, size, size, 3]."""
    return torch.cat([image.add_(0.5).to(torch.uint8) for image in _blocks(view, size)])


def _blocks(view: Look, size: int) -> Iterator[Tensor]:
    weights = _background(size, view.light.device)
    for start in range(0, len(view.light), BLOCK):
        part = view.take(slice(start, start + BLOCK))
        image = (weights @ _background_colours(part)).view(-1, size, size, 3)
        _draw_pull(image, part)
        _draw_weather(image, part)
        _draw_things(image, part)
        yield image.clamp_(0, 255)


def _mixed(three: tuple[tuple[float, ...], ...], light: Tensor) -> Tensor:
    """[M, 3]: colours by day, dusk and night at the given light [M]; smooth in between."""
    day, dusk, night = (torch.tensor(colour, device=light.device) for colour in three)
    rise, top = (2 * light).clamp(max=1).unsqueeze(-1), (2 * light - 1).clamp(min=0).unsqueeze(-1)
    rise, top = rise * rise * (3 - 2 * rise), top * top * (3 - 2 * top)
    return torch.lerp(torch.lerp(night, dusk, rise), day, top)


def _background(size: int, device: torch.device) -> Tensor:
    """[size * size, 3]: how much of the wall's top, of its foot and of the floor each pixel has."""
    scale = size / UNIT
    middle = (torch.arange(size, device=device) + 0.5) / scale
    inside = torch.minimum(middle - LOW[0], HIGH[0] - middle) * scale + 0.5
    edge = 0.86 + 0.14 * inside.clamp(0, 1)
    top = 0.86 + 0.14 * ((middle - LOW[1]) * scale + 0.5).clamp(0, 1)
    wall = top.view(-1, 1) * edge
    floor = ((middle - HIGH[1]) * scale + 0.5).clamp(0, 1).view(-1, 1).expand(size, size)
    low = (middle / HIGH[1]).clamp(max=1).view(-1, 1)
    return torch.stack([wall * (1 - floor) * (1 - low), wall * (1 - floor) * low, floor], -1).view(
        -1, 3
    )


def _background_colours(view: Look) -> Tensor:
    """[M, 3, 3]: the colours of the wall's top, its foot and the floor."""
    ground = _mixed(FLOOR, view.light)
    wet = view.falling.unsqueeze(-1)
    ground = torch.lerp(ground, _mixed(RAIN, view.light) * 0.8, 0.6 * wet[:, 0])
    ground = torch.lerp(ground, _mixed(SNOW, view.light), 0.8 * wet[:, 1])
    slow, frozen = (view.pace > 0) & (view.pace < 1), view.pace == 0
    for colours, now in ((SLOW, slow), (FROZEN, frozen)):
        ground = torch.lerp(ground, _mixed(colours, view.light), 0.9 * now.float().unsqueeze(-1))
    return torch.stack([_mixed(SKY, view.light), _mixed(WALL, view.light), ground], 1)


def _draw_pull(image: Tensor, view: Look) -> None:
    """The wall that things fall to, along its whole length; none in rooms where things float."""
    size = image.shape[1]
    deep = max(1, round(LOW[0] * size / UNIT))
    colour = _mixed(PULL, view.light)[:, None, None]
    for axis, strip in enumerate((image.transpose(1, 2), image)):
        for way, lines in ((-1, slice(deep)), (1, slice(size - deep, size))):
            rows = (view.gravity[:, axis] == way).nonzero().squeeze(1)
            strip[rows, lines] = colour[rows]


def _draw_weather(image: Tensor, view: Look) -> None:
    """Drops and flakes in front of the wall, behind the things; few, soft, on fixed paths."""
    size = image.shape[1]
    for kind, (colours, shape) in enumerate(((RAIN, _rain), (SNOW, _snow))):
        rows = (view.falling[:, kind] > 0).nonzero().squeeze(1)
        if len(rows):
            cover = shape(view.clock[rows], size) * view.falling[rows, kind].view(-1, 1, 1)
            colour = _mixed(colours, view.light[rows]).view(-1, 1, 1, 3)
            image[rows] = torch.lerp(image[rows], colour, cover.clamp(max=1).unsqueeze(-1))


def _path(clock: Tensor, count: int, speed: float, stride: int) -> tuple[Tensor, Tensor]:
    """Columns x [count] and heights y [M, count] of what falls; ``stride`` scatters the phases."""
    index = torch.arange(count, device=clock.device)
    x = (index + 0.5) * UNIT / count
    phase = (index * stride % count) * FALL / count
    y = (clock.unsqueeze(1) * speed + phase) % FALL - (FALL - UNIT) / 2
    return x, y


def _rain(clock: Tensor, size: int) -> Tensor:
    """[M, size, size] in 0..1: upright streaks."""
    x, y = _path(clock, DROPS, DROP_SPEED, 3)
    middle = (torch.arange(size, device=clock.device) + 0.5) * UNIT / size
    across = torch.exp(-(((middle - x.unsqueeze(-1)) / 0.95) ** 2))
    along = (4.2 - (middle - y.unsqueeze(-1)).abs()).clamp(0, 1)
    return 0.9 * along.transpose(1, 2) @ across


def _snow(clock: Tensor, size: int) -> Tensor:
    """[M, size, size] in 0..1: round flakes that sway."""
    x, y = _path(clock, FLAKES, FLAKE_SPEED, 5)
    index = torch.arange(FLAKES, device=clock.device)
    turn = 2 * torch.pi * (2 * clock.unsqueeze(1) / WEATHER_PERIOD + index / FLAKES)
    x = x + 2.0 * torch.sin(turn)
    middle = (torch.arange(size, device=clock.device) + 0.5) * UNIT / size
    across = torch.exp(-(((middle - x.unsqueeze(-1)) / 1.8) ** 2))
    along = torch.exp(-(((middle - y.unsqueeze(-1)) / 1.8) ** 2))
    return along.transpose(1, 2) @ across


def _draw_things(image: Tensor, view: Look) -> None:
    """Each object over the pixels of its window, one place after the other."""
    size = image.shape[1]
    scale = size / UNIT
    side = min(size, int(2 * LARGE * scale) + 4)
    grid = torch.arange(side, device=image.device)
    flat = image.view(-1, 3)
    rgb = view.rgb * _mixed(THINGS, view.light).unsqueeze(1)
    for place in range(view.opacity.shape[1]):
        rows = (view.opacity[:, place] > 0).nonzero().squeeze(1)
        centre = view.position[rows, place] * scale
        corner = (centre - side / 2).round().clamp(0, size - side).long()
        columns, lines = corner[:, :1] + grid, corner[:, 1:] + grid
        across = ((columns + 0.5 - centre[:, :1]) / scale).unsqueeze(1)
        down = ((lines + 0.5 - centre[:, 1:]) / scale).unsqueeze(2)
        shape = view.half[rows, place, None, None], view.rounding[rows, place, None, None]
        cover = _cover(*shape, across, down, scale) * view.opacity[rows, place, None, None]
        tone, shine = _shade(*shape, across, down)
        colour = tone.unsqueeze(-1) * rgb[rows, place, None, None] + shine.unsqueeze(-1)
        at = rows.view(-1, 1, 1) * (size * size) + lines.unsqueeze(2) * size + columns.unsqueeze(1)
        pixels, over = at.flatten(), colour.view(-1, 3).clamp_(max=255)
        under = flat.index_select(0, pixels)
        flat.index_copy_(0, pixels, under.lerp_(over, cover.view(-1, 1)))


def _cover(half: Tensor, rounding: Tensor, across: Tensor, down: Tensor, scale: float) -> Tensor:
    """[K, w, w] in 0..1: how much of each pixel an object covers.

    ``half``, ``rounding`` [K, 1, 1]; ``across`` [K, 1, w], ``down`` [K, w, 1]: offsets from the
    centre in room units; ``scale``: pixels per unit.
    """
    dx, dy = across.abs() - half, down.abs() - half
    outside = (dx.clamp(min=0).square() + dy.clamp(min=0).square()).sqrt_()
    distance = outside.add_(torch.maximum(dx, dy).clamp_(max=0)).sub_(rounding)
    return distance.mul_(-scale).add_(0.5).clamp_(0, 1)


def _shade(half: Tensor, rounding: Tensor, across: Tensor, down: Tensor) -> tuple[Tensor, Tensor]:
    """How bright an object's colour is, and the white added to it (0..255); both [K, w, w].

    Balls are darker to the lower right, with a highlight; boxes are flat, with lit edges. Every
    term is a sum or a product of one in x and one in y.
    """
    extent = half + rounding
    x, y = across / extent, down / extent
    box = half > 0

    def tone(at: Tensor, offset: Tensor, edge: float) -> Tensor:
        rim = 1 - ((extent - offset.abs()) / BEVEL).clamp(0, 1)
        return torch.where(box, 0.5 - edge * offset.sign() * rim, 0.53 - 0.11 * at - 0.09 * at * at)

    def spot(at: Tensor) -> Tensor:
        return torch.where(box, 0.0, torch.exp(-((at + 0.36) ** 2) / 0.13))

    white = 0.62 * spot(x) * spot(y)
    return (tone(x, across, 0.14) + tone(y, down, 0.26)) * (1 - white), 200 * white
