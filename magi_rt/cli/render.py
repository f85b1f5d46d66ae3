"""From a checked plan to files: the world is advanced, its frames go to an mp4 and a sheet."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from magi_rt.cli.interrupt import InterruptGuard
from magi_rt.cli.run_plan import GOOD_SIDE, MAX_SCALE, RunPlan
from magi_rt.cli.story import Story, Turn
from magi_rt.errors import OptionError
from magi_rt.frames import Frame
from magi_rt.media.contact_sheet import contact_sheet, evenly
from magi_rt.media.video_writer import VideoWriter

if TYPE_CHECKING:
    from magi_rt.world import World

_CODEC_SIDE = 8192
"""Longest side that ordinary H.264 players take."""

_CELLS = 20
_MOST_CELLS = 60


@dataclass
class RunReport:
    """What happened, for the closing table. Times are in seconds of a wall clock.

    `seen` tells for each turn of the story the time in the video of its first frame, or
    nothing when the video ended before.
    """

    engine: str = ""
    size: tuple[int, int] = (0, 0)
    fps: float = 0.0
    delay_chunks: int = 0
    chunk_frames: int = 0
    notes: tuple[str, ...] = ()
    opened_s: float = 0.0
    first_chunk_s: float = 0.0
    making_s: float = 0.0
    frames: int = 0
    seen: dict[Turn, float] = field(default_factory=dict)
    files: list[Path] = field(default_factory=list)

    @property
    def made_fps(self) -> float:
        """Frames made per second of waiting for the world, without the writing of files."""
        return self.frames / self.making_s if self.making_s > 0 else 0.0


Tell = Callable[[RunReport, str], None]
"""Called after opening and after each chunk with the report so far and the prompt now held."""


def render(plan: RunPlan, guard: InterruptGuard, tell: Tell, report: RunReport) -> None:
    """Carry the plan out and fill the report while doing so.

    After KeyboardInterrupt video, sheet and log of what was made so far are whole, or none is
    there; the report knows which.
    """
    began_s = time.perf_counter()
    with _open_world(plan) as world:
        report.opened_s = time.perf_counter() - began_s
        _describe(world, report)
        tell(report, plan.story.turns[0].prompt)
        cells = min(_MOST_CELLS, max(_CELLS, 2 * len(plan.story.turns)))
        sheet = SheetFrames(plan.frames, cells)
        writer = _open_writer(plan, world)
        try:
            with writer:
                _advance_to_the_end(plan, world, writer, guard, sheet, report, tell)
        finally:
            if writer.finished:
                report.files.append(plan.out)
                with guard.hold():
                    _write_beside(plan, world, sheet, report)


def _write_beside(plan: RunPlan, world: World, sheet: SheetFrames, report: RunReport) -> None:
    contact_sheet(sheet.frames(), plan.sheet)
    report.files.append(plan.sheet)
    if plan.log is not None:
        world.log.save(plan.log)
        report.files.append(plan.log)


def _open_world(plan: RunPlan) -> World:
    from magi_rt.world import World

    return World.open(plan.model, image=plan.image, video=plan.video, **asdict(plan.options))


def _describe(world: World, report: RunReport) -> None:
    engine = world.engine
    report.engine = f"{engine.name} on {engine.device}, {engine.dtype}: {engine.reason}"
    report.size, report.fps = world.size, world.fps
    report.delay_chunks, report.chunk_frames = world.delay_chunks, world.frames_per_chunk
    report.notes = tuple(world.notes)


def _open_writer(plan: RunPlan, world: World) -> VideoWriter:
    height, width = world.size
    scale = plan.scale or fitting_scale(height, width)
    if max(height, width) * scale > _CODEC_SIDE:
        raise OptionError(
            f"--scale {scale} makes the video {height * scale}x{width * scale}; players take up "
            f"to {_CODEC_SIDE} pixels: give --scale {max(1, _CODEC_SIDE // max(height, width))}",
            field="scale",
        )
    return VideoWriter(plan.out, fps=world.fps, height=height, width=width, scale=scale)


def fitting_scale(height: int, width: int) -> int:
    """The least whole number that brings the shorter side to GOOD_SIDE pixels."""
    return min(MAX_SCALE, max(1, -(-GOOD_SIDE // min(height, width))))


class SheetFrames:
    """Keeps the frames that may go on the contact sheet, as copies: a frame holds its chunk.

    The sheet of a whole video shows frames spread evenly, first and last included. In case it is
    stopped before, a few more are kept: every n-th so far, with n doubled when they are too many.

    Args:
        length: of the whole video in frames.
        cells: most pictures on the sheet.
    """

    def __init__(self, length: int, cells: int) -> None:
        self._wanted, self._planned = cells, tuple(evenly(length, cells))
        self._kept: dict[int, Frame] = {}
        self._every = 1
        self._latest: Frame | None = None

    def offer(self, frame: Frame) -> None:
        """Keep the frame if it is one of those."""
        self._latest = frame
        if self._stays(frame.index):
            self._kept[frame.index] = replace(frame, pixels=frame.pixels.copy())
        if len(self._kept) > 3 * self._wanted:
            self._every *= 2
            self._kept = {index: kept for index, kept in self._kept.items() if self._stays(index)}

    def _stays(self, index: int) -> bool:
        return index % self._every == 0 or index in self._planned

    def frames(self) -> list[Frame]:
        """Those of the sheet, oldest first."""
        if self._planned[-1] in self._kept:
            return [self._kept[index] for index in self._planned]
        spread = [frame for index, frame in self._kept.items() if index % self._every == 0]
        if self._latest is not None and self._latest.index % self._every:
            spread.append(self._latest)
        return [spread[place] for place in evenly(len(spread), self._wanted)]


def _advance_to_the_end(
    plan: RunPlan,
    world: World,
    writer: VideoWriter,
    guard: InterruptGuard,
    sheet: SheetFrames,
    report: RunReport,
    tell: Tell,
) -> None:
    given: Turn | None = None
    while report.frames < plan.frames:
        turn = turn_to_give(plan.story, report)
        began_s = time.perf_counter()
        chunk = world.advance(turn.prompt if turn != given else None)
        report.making_s += time.perf_counter() - began_s
        report.first_chunk_s = report.first_chunk_s or report.making_s
        given = turn
        for frame in chunk[: plan.frames - report.frames]:
            with guard.hold():
                writer.write(frame.pixels)
                report.frames += 1
                sheet.offer(frame)
            _note_first_sight(plan.story, frame, report)
        tell(report, turn.prompt)


def turn_to_give(story: Story, report: RunReport) -> Turn:
    """The turn to give now so that it is seen at its time.

    With several chunks in flight a prompt shows `delay_chunks` later, so it is given as much
    earlier; the first one cannot be.
    """
    if report.frames == 0:
        return story.turns[0]
    ahead = report.delay_chunks * report.chunk_frames
    return story.at((report.frames + ahead) / report.fps)


def _note_first_sight(story: Story, frame: Frame, report: RunReport) -> None:
    for turn in story.turns:
        if turn not in report.seen and turn.prompt == frame.prompt:
            if frame.time_s + 1e-6 >= turn.time_s:
                report.seen[turn] = frame.time_s
            return
