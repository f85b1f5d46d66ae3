"""Writing a video: H.264 in mp4, whole or not at all.

Colours are tagged BT.709, so that a player shows what the world made.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from fractions import Fraction
from pathlib import Path
from types import TracebackType

import numpy as np

from magi_rt.errors import MediaError, ShapeError
from magi_rt.media.pictures import Pixels, resize
from magi_rt.whole_files import cannot_write, temporary_name

_LIMITED_RANGE = 1  # luma 16..235, what players expect of mp4
_BT709 = 1  # the number of BT.709 in ISO/IEC 23091-2, the same for primaries, curve and matrix


class VideoWriter:
    """Writes frames to an H.264 mp4 that is there whole, or is not there.

    Bytes go to a hidden name beside `path`; `close` renames it. As a context manager it closes
    at the end of the block, and discards after an exception, except Ctrl-C: then the frames so
    far become a playable file, or none does when there are none. Sides that are odd are
    padded by one repeated row or column, since the format wants even ones.

    `fps` frames per second, `height` and `width` in pixels as frames arrive, `scale` a whole
    number by which they are enlarged (bicubic). Raises MediaError when the file cannot be
    made, later when the disk is full: then nothing is left behind. `finished` turns True when
    `path` holds the whole video.
    """

    def __init__(
        self, path: str | Path, *, fps: float, height: int, width: int, scale: int = 1
    ) -> None:
        if not fps > 0 or min(height, width, scale) < 1:
            raise MediaError(
                f"fps {fps}, size {height}x{width} and scale {scale} must be positive", field="fps"
            )
        self.path = Path(path)
        self.frames_written = 0
        self.finished = False
        self._size = (height, width)
        self._scale = scale
        self._temporary = temporary_name(self.path)
        self._closed = False
        try:
            self._sink = Sink(self._temporary)
        except OSError as error:
            raise cannot_write(self.path, error) from error
        with self._discarding():
            self._open_container(fps)

    def _open_container(self, fps: float) -> None:
        import av

        height, width = (side * self._scale + side * self._scale % 2 for side in self._size)
        self._container = av.open(self._sink, "w", format="mp4")
        rate = Fraction(fps).limit_denominator(1001)
        options = {"crf": "16", "preset": "fast"}
        self._stream = self._container.add_stream("libx264", rate=rate, options=options)
        self._stream.height, self._stream.width = height, width
        self._stream.pix_fmt = "yuv420p"
        codec = self._stream.codec_context
        codec.color_range = _LIMITED_RANGE
        codec.colorspace = codec.color_primaries = codec.color_trc = _BT709

    def write(self, pixels: Pixels) -> None:
        """Append one frame, uint8 [height, width, 3]. MediaError when closed or the disk is full.

        Raises ShapeError for another size or type; the file so far stays good then.
        """
        if self._closed:
            raise MediaError(f"{self.path} is closed; open another writer", field="path")
        if pixels.shape != (*self._size, 3) or pixels.dtype != np.uint8:
            raise ShapeError(
                f"frame is {pixels.dtype} {list(pixels.shape)}; this file takes uint8 "
                f"{[*self._size, 3]}",
                field="pixels",
            )
        with self._discarding():
            self._encode(self._even(pixels))
            self.frames_written += 1

    def _even(self, pixels: Pixels) -> Pixels:
        height, width = (side * self._scale for side in self._size)
        enlarged = resize(pixels, height, width)
        return np.pad(enlarged, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")

    def _encode(self, pixels: Pixels | None) -> None:
        import av
        from av.video.reformatter import ColorRange, Colorspace

        picture = None
        if pixels is not None:
            picture = av.VideoFrame.from_ndarray(np.ascontiguousarray(pixels), format="rgb24")
            picture = picture.reformat(
                format="yuv420p",
                dst_colorspace=Colorspace.ITU709,
                dst_color_range=ColorRange.MPEG,
            )
            picture.pts = self.frames_written
        for packet in self._stream.encode(picture):
            self._container.mux(packet)
        self._sink.check()

    def close(self) -> None:
        """Finish the file and give it its name; once closed, closing again does nothing.

        Raises MediaError when the disk is full, or when no frame was written.
        """
        if self._closed:
            return
        if self.frames_written == 0:
            self.discard()
            raise MediaError(f"{self.path} was not written: no frame came", field="path")
        with self._discarding():
            self._encode(None)
            self._container.close()
            self._sink.check()
            self._sink.close()
            os.replace(self._temporary, self.path)
        self._closed = self.finished = True

    def discard(self) -> None:
        """Leave no file behind; what `path` held before stays."""
        if self._closed:
            return
        self._closed = True
        self._sink.silent = True
        with suppress(Exception):
            self._container.close()
        with suppress(OSError):
            self._sink.close()
        with suppress(OSError):
            self._temporary.unlink()

    @contextmanager
    def _discarding(self) -> Iterator[None]:
        """Any exception inside leaves no file; what the disk or FFmpeg says becomes MediaError."""
        import av

        try:
            yield
        except (OSError, av.error.FFmpegError) as error:
            self.discard()
            failure = self._sink.failure or error
            if not isinstance(failure, Exception):
                raise failure from None
            raise cannot_write(self.path, failure) from error
        except BaseException:  # also Ctrl-C inside the encoder: a torn stream may not play
            self.discard()
            raise

    def __enter__(self) -> VideoWriter:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        interrupted = kind is not None and issubclass(kind, KeyboardInterrupt)
        if kind is None or (interrupted and self.frames_written):
            self.close()
        else:
            self.discard()


class Sink:
    """The file FFmpeg writes through: keeps the first failure, and can fall silent.

    FFmpeg may hide that a write failed, and writes a trailer even into a file that is given up.
    """

    def __init__(self, path: Path) -> None:
        self._file = open(path, "wb")  # noqa: SIM115 - lives as long as its writer
        self.failure: BaseException | None = None
        self.silent = False

    def write(self, data: bytes) -> int:
        """Write all of `data`; silent: pretend to."""
        if self.silent:
            return len(data)
        try:
            return self._file.write(data)
        except BaseException as error:
            self.failure = self.failure or error
            if isinstance(error, Exception):
                raise
            raise OSError("interrupted") from None  # Ctrl-C would be lost on its way up

    def check(self) -> None:
        """Raise the first failure, if there was one."""
        if self.failure is not None:
            raise self.failure

    def seek(self, offset: int, whence: int = 0) -> int:
        """Move within the file, as io does."""
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        """The position in the file, in bytes."""
        return self._file.tell()

    def close(self) -> None:
        """Flush and close; the first failure of the disk is raised here at the latest."""
        self._file.close()
