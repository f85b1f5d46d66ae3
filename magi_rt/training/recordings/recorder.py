"""Recording a game or any program: frames and prompts in, a video with its captions out."""

from __future__ import annotations

from contextlib import suppress
from itertools import count
from math import inf, isfinite
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from magi_rt.errors import MediaError
from magi_rt.media.late_interrupt import late_interrupt
from magi_rt.media.pictures import Pixels, pixels_in_memory, resize
from magi_rt.media.video_writer import VideoWriter
from magi_rt.training.recordings.captions import Caption, caption_prompt, captions_text
from magi_rt.whole_files import cannot_write, write_whole


class Recorder:
    """Writes one clip: ``path`` (mp4) and captions of the same name, both or neither.

    As a context manager it closes at the end of the block. When the program ends by Ctrl-C or
    ``SystemExit``, as games do, what was recorded is kept; after any other exception it is not.
    A Ctrl-C that comes in the middle of a frame is raised when the frame is there.

        with Recorder("clips/run-1.mp4", fps=60) as recorder:
            while playing:
                ...
                recorder.frame(screen)

    Args:
        path: ends in .mp4; its folder is made. Nothing is ever overwritten: when another clip of
            that name appears while this one is recorded, this one ends as "run-1-2.mp4", and
            ``path`` says so once it is closed.
        size: the shorter side of the video in pixels, proportions kept; None: as frames come.
            About twice the side to train on is best: the video stores colours at half its size.
        fps: how many frames are one second.

    Raises:
        MediaError: the name is taken or has another ending, or size or fps are not positive.
    """

    def __init__(self, path: str | Path, size: int | None = 256, fps: float = 24) -> None:
        self.path = Path(path)
        self.captions_path = self.path.with_suffix(".srt")
        if self.path.suffix.lower() != ".mp4":
            raise MediaError(
                f"{self.path} does not end in .mp4; name it so, as in clips/run-1.mp4", field="path"
            )
        if not 0 < fps < inf or (size is not None and size < 2):
            raise MediaError(f"fps {fps} must be positive and size {size} at least 2", field="fps")
        for taken in (self.path, self.captions_path):
            if taken.exists():
                raise MediaError(
                    f"{taken} exists already; choose another name or remove it first", field="path"
                )
        self.size, self.fps = size, fps
        self.frames = 0
        self._prompts: list[tuple[int, str]] = []
        self._asked: str | None = None
        self._shown: Pixels | None = None
        self._comes_as: tuple[int, ...] | None = None
        self._writer: VideoWriter | None = None
        self._begun_s: float | None = None
        self._lost: MediaError | None = None
        self._claimed = self._closed = False

    def prompt(self, text: str) -> None:
        """What is asked for from the next frame on, until the next prompt; "" for nothing.

        PromptError for what is no prompt, or what captions cannot hold (``caption_prompt``).
        """
        self._asked = caption_prompt(text)

    def frame(self, picture: Any, time_s: float | None = None) -> None:
        """Append a frame: a pygame surface, or an array [H, W, 3], uint8 or float 0..1.

        ``time_s``: when it shows, in seconds of any clock that goes on, for programs without a
        fixed rate. The video begins with the first frame; so that it keeps the time from there on,
        the frame before is repeated until then, and a frame that comes too soon is left out.
        Raises MediaError for other things, for a size unlike that of the first frame, for a time
        that is none, and, from then on, when the disk is full.
        """
        if self._closed:
            raise MediaError(f"{self.path} is closed; open another recorder", field="path")
        if self._lost is not None:
            raise self._lost
        pixels = _pixels(picture)
        if time_s is not None and not isfinite(time_s):
            raise MediaError(
                f"frame {self.frames} shows at {time_s} s; give seconds", field="time_s"
            )
        due = self._due(time_s)
        if due <= self.frames:
            return
        if self._comes_as is None:
            self._comes_as = pixels.shape
        if pixels.shape != self._comes_as:
            height, width, _ = self._comes_as
            raise MediaError(
                f"frame {self.frames} is {pixels.shape[1]}x{pixels.shape[0]} pixels and the first "
                f"was {width}x{height}; keep the window's size while recording",
                field="picture",
            )
        fitted = resize(pixels, *self._video_size(*pixels.shape[:2]))
        with late_interrupt():
            try:
                self._append(fitted, due)
            except MediaError as error:
                self._lost = error
                raise

    def _due(self, time_s: float | None) -> int:
        """How many frames the video has when one that shows at this time is its last."""
        if time_s is None:
            return self.frames + 1
        if self._begun_s is None:
            self._begun_s = time_s - self.frames / self.fps
        return int((time_s - self._begun_s) * self.fps + 1e-6) + 1

    def _append(self, pixels: Pixels, due: int) -> None:
        writer = self._opened(pixels)
        while self._shown is not None and self.frames < due - 1:
            writer.write(self._shown)
            self.frames += 1
        if self._asked is not None:
            self._prompts.append((self.frames, self._asked))
            self._asked = None
        writer.write(pixels)
        self.frames += 1
        self._shown = pixels.copy()  # a game may draw into its array again

    def close(self) -> None:
        """Finish both files; once closed, closing again does nothing.

        MediaError when no frame came or the disk is or was full; neither file is there then.
        """
        if self._closed:
            return
        self._closed = True
        if self._lost is not None:
            raise self._lost
        if self._writer is None:
            raise MediaError(f"{self.path} was not written: no frame came", field="path")
        with late_interrupt():
            self._finish(self._writer)

    def _finish(self, writer: VideoWriter) -> None:
        # Captions first: a video without them would be a clip in which nothing is asked for.
        text = captions_text(self._captions()).encode()
        try:
            self._claim(writer)
            write_whole(self.captions_path, lambda stream: stream.write(text))
            writer.close()
        finally:
            if not writer.finished:
                self._forget()

    def _claim(self, writer: VideoWriter) -> None:
        """Give both files the first free name; that of the captions is taken from here on."""
        asked = self.path
        for number in count(1):
            name = asked if number == 1 else asked.with_stem(f"{asked.stem}-{number}")
            captions = name.with_suffix(".srt")
            try:
                if name.exists():
                    continue
                captions.touch(exist_ok=False)
            except FileExistsError:
                continue
            except OSError as error:
                raise cannot_write(captions, error) from error
            self.path, self.captions_path, self._claimed = name, captions, True
            writer.path = name
            return

    def discard(self) -> None:
        """Leave no file behind."""
        if not self._closed:
            self._closed = True
            self._forget()

    def _forget(self) -> None:
        if self._writer is not None:
            self._writer.discard()
        if self._claimed:
            with suppress(OSError):
                self.captions_path.unlink()

    def _captions(self) -> list[Caption]:
        ends = [start for start, _ in self._prompts[1:]] + [self.frames]
        return [
            Caption(start / self.fps, end / self.fps, text, line=0)
            for (start, text), end in zip(self._prompts, ends, strict=False)
            if text and start < end
        ]

    def _video_size(self, height: int, width: int) -> tuple[int, int]:
        if self.size is None:
            return height, width
        scale = self.size / min(height, width)
        return round(height * scale), round(width * scale)

    def _opened(self, pixels: Pixels) -> VideoWriter:
        if self._writer is None:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            height, width, _ = pixels.shape
            self._writer = VideoWriter(self.path, fps=self.fps, height=height, width=width)
        return self._writer

    def __enter__(self) -> Recorder:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        asked_to_stop = kind is not None and issubclass(kind, KeyboardInterrupt | SystemExit)
        if kind is None or (asked_to_stop and self.frames):
            self.close()
        else:
            self.discard()


def _pixels(picture: Any) -> Pixels:
    """uint8 [H, W, 3] of a surface or an array. MediaError for anything else."""
    view = getattr(picture, "get_view", None)
    if view is None:
        return pixels_in_memory(picture, "image")
    try:
        columns = np.array(view("3"))  # a copy [W, H, 3]: a view would keep the surface locked
    except ValueError as error:
        raise MediaError(
            f"the surface has no red, green and blue of 8 bits each ({error}); "
            "convert it first: surface.convert(24)",
            field="picture",
        ) from error
    return np.ascontiguousarray(columns.swapaxes(0, 1))
