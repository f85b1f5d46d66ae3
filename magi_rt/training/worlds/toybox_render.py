"""How the toybox looks: soft, smooth pictures of many moments at once.

The background and its weather are drawn over whole pictures; each object only over a small window
around it. Edges are anti-aliased by the signed distance to the outline, one pixel wide.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import torch
from torch import Tensor

from magi_rt.training.worlds.toybox_scene import HIGH, LARGE, LOW, UNIT, WEATHER_PERIOD, State

PALETTE = (
    (222.0, 48.0, 52.0),
    (52.0, 172.0, 76.0),
    (48.0, 96.0, 222.0),
    (244.0, 212.0, 48.0),
    (150.0, 66.0, 196.0),
    (246.0, 136.0, 28.0),
)
"""The named colours by day, in the order of ``COLOURS``; 0..255 sRGB like all colours here."""
WALL = ((176.0, 192.0, 208.0), (20.0, 23.0, 38.0))
"""Day, night."""
FLOOR = ((138.0, 130.0, 124.0), (12.0, 13.0, 20.0))
RAIN = ((104.0, 124.0, 164.0), (84.0, 98.0, 140.0))
SNOW = ((248.0, 250.0, 252.0), (158.0, 164.0, 182.0))
NIGHT_DIM = 0.62
DROPS, FLAKES = 8, 8
"""Each in a column of its own that falls together with one column of patches of 8 pixels."""
DROP_SPEED = 4.0
"""Units per frame; a whole number of falls fits the weather's period, as for flakes."""
FLAKE_SPEED = 1.0
FALL = 72.0
"""Units from where a drop appears to where it is gone."""


@dataclass(frozen=True)
class Look:
    """All that a picture shows, for M moments (clips times frames); lengths in room units."""

    position: Tensor
    half: Tensor
    rounding: Tensor
    alive: Tensor
    rgb: Tensor
    light: Tensor
    falling: Tensor
    clock: Tensor

    def take(self, rows: Tensor) -> Look:
        """The look of the chosen moments; ``rows`` int64, indices into M."""
        return Look(**{field.name: getattr(self, field.name)[rows] for field in fields(self)})


def look(states: list[State]) -> Look:
    """The look of B clips in F states each, clip by clip: M = B * F."""
    frames = len(states)

    def moments(name: str) -> Tensor:
        return torch.stack([getattr(state, name) for state in states], 1).flatten(0, 1)

    palette = torch.tensor(PALETTE, device=states[0].position.device)
    mix = moments("colour_mix").unsqueeze(-1)
    mix = mix * mix * (3 - 2 * mix)
    rgb = torch.lerp(palette[moments("colour_before")], palette[moments("colour")], mix)
    first = states[0]
    return Look(
        position=moments("position"),
        half=first.half.repeat_interleave(frames, 0),
        rounding=first.rounding.repeat_interleave(frames, 0),
        alive=first.alive.repeat_interleave(frames, 0),
        rgb=rgb,
        light=moments("light"),
        falling=moments("falling"),
        clock=moments("clock"),
    )


def render(view: Look, size: int) -> Tensor:
    """float32 [M, size, size, 3] in 0..255."""
    light = view.light * view.light * (3 - 2 * view.light)
    image = _background(view, light, size)
    _draw_weather(image, view, light)
    _draw_things(image, view, light)
    return image


def _mixed(pair: tuple[tuple[float, ...], ...], light: Tensor) -> Tensor:
    """[M, 3]: a day and night pair of colours at the given light [M]."""
    day, night = (torch.tensor(colour, device=light.device) for colour in pair)
    return torch.lerp(night, day, light.unsqueeze(-1))


def _background(view: Look, light: Tensor, size: int) -> Tensor:
    """[M, size, size, 3]: a wall a little lighter at the top, thin edges, a floor."""
    scale = size / UNIT
    middle = (torch.arange(size, device=light.device) + 0.5) / scale
    shade = (1.05 - 0.12 * middle / UNIT).view(-1, 1)
    inside = torch.minimum(middle - LOW[0], HIGH[0] - middle) * scale + 0.5
    edge = 0.86 + 0.14 * inside.clamp(0, 1)
    top = 0.86 + 0.14 * ((middle - LOW[1]) * scale + 0.5).clamp(0, 1)
    wall = shade * top.view(-1, 1) * edge
    floor = ((middle - HIGH[1]) * scale + 0.5).clamp(0, 1).view(-1, 1).expand(size, size)
    ground = _mixed(FLOOR, light)
    wet = view.falling.unsqueeze(-1)
    ground = torch.lerp(ground, _mixed(RAIN, light) * 0.8, 0.6 * wet[:, 0])
    ground = torch.lerp(ground, _mixed(SNOW, light), 0.8 * wet[:, 1])
    weights = torch.stack([wall * (1 - floor), floor]).view(2, -1)
    colours = torch.stack([_mixed(WALL, light), ground], 1)
    return (weights.t() @ colours).view(-1, size, size, 3)


def _draw_weather(image: Tensor, view: Look, light: Tensor) -> None:
    """Drops and flakes in front of the wall, behind the things; few, soft, on fixed paths."""
    size = image.shape[1]
    for kind, (colours, shape) in enumerate(((RAIN, _rain), (SNOW, _snow))):
        rows = (view.falling[:, kind] > 0).nonzero().squeeze(1)
        if len(rows):
            cover = shape(view.clock[rows], size) * view.falling[rows, kind].view(-1, 1, 1)
            colour = _mixed(colours, light[rows]).view(-1, 1, 1, 3)
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


def _draw_things(image: Tensor, view: Look, light: Tensor) -> None:
    """Each object over the pixels of its window, one place after the other."""
    moments, size = image.shape[:2]
    scale = size / UNIT
    side = min(size, int(2 * LARGE * scale) + 4)
    centre = view.position * scale
    corner = (centre - side / 2).round().clamp(0, size - side).long()
    grid = torch.arange(side, device=image.device)
    columns, lines = corner[..., 0, None] + grid, corner[..., 1, None] + grid
    across = (columns + 0.5 - centre[..., :1]).unsqueeze(-2)
    down = (lines + 0.5 - centre[..., 1:]).unsqueeze(-1)
    cover, colour = _shade(view, across / scale, down / scale, scale)
    dim = NIGHT_DIM + (1 - NIGHT_DIM) * light
    colour = colour * dim.view(-1, 1, 1, 1, 1)
    flat = image.view(-1, 3)
    start = torch.arange(moments, device=image.device).view(-1, 1, 1) * size * size
    for place in range(centre.shape[1]):
        at = start + lines[:, place].unsqueeze(-1) * size + columns[:, place].unsqueeze(-2)
        rows = at.flatten()
        over = torch.lerp(
            flat.index_select(0, rows),
            colour[:, place].reshape(-1, 3),
            cover[:, place].reshape(-1, 1),
        )
        flat.index_copy_(0, rows, over)


def _shade(view: Look, across: Tensor, down: Tensor, scale: float) -> tuple[Tensor, Tensor]:
    """Cover [M, N, w, w] and colour [M, N, w, w, 3] of every object over its window.

    ``across`` [M, N, 1, w] and ``down`` [M, N, w, 1]: offsets from the centre in room units.
    """
    half, rounding = view.half[..., None, None], view.rounding[..., None, None]
    dx, dy = across.abs() - half, down.abs() - half
    outside = torch.sqrt(dx.clamp(min=0) ** 2 + dy.clamp(min=0) ** 2)
    distance = outside + torch.maximum(dx, dy).clamp(max=0) - rounding
    cover = (0.5 - distance * scale).clamp(0, 1) * view.alive[..., None, None]
    extent = half + rounding
    spot = ((across + 0.35 * extent) ** 2 + (down + 0.35 * extent) ** 2) / (extent * extent)
    ball = 0.5 * torch.exp(-spot / 0.16)
    slope = 1.02 - 0.14 * (across + down) / extent
    rim = 1 - 0.3 * (1 + distance / 1.6).clamp(0, 1)
    box = (half > 0).to(distance.dtype)
    shine = ball * (1 - box)
    tone = torch.where(half > 0, (1.06 - 0.16 * down / extent) * rim, slope)
    colour = (view.rgb[:, :, None, None] * tone.unsqueeze(-1)).clamp(max=255)
    return cover, torch.lerp(colour, torch.full_like(colour[..., :1], 255.0), shine.unsqueeze(-1))
