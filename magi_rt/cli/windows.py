"""A window of OpenCV: pictures out, keys in. OpenCV is an extra, and may have no windows."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import Any

from magi_rt.errors import OptionError
from magi_rt.media.pictures import Pixels

GOOD_SIDE = 512
"""Small pictures are shown enlarged until their shorter side has about this many pixels."""

_TICK_MS = 5
_VISIBLE = 4  # cv2.WND_PROP_VISIBLE
_PROBE_S = 30.0

_NAMED = {
    8: "backspace", 9: "tab", 10: "enter", 13: "enter", 27: "escape", 127: "backspace",
    # X11 and Wayland
    65288: "backspace", 65293: "enter", 65307: "escape", 65421: "enter",
    65361: "left", 65362: "up", 65363: "right", 65364: "down",
    # Windows
    0x250000: "left", 0x260000: "up", 0x270000: "right", 0x280000: "down",
    # macOS
    63234: "left", 63232: "up", 63235: "right", 63233: "down",
}  # fmt: skip


def key_of(code: int) -> str:
    """The key that OpenCV means: a name, or the character itself; "" for none and for others."""
    if code < 0:
        return ""
    low = code & 0xFFFF  # Shift, Num Lock and the like are told above
    name = _NAMED.get(code) or _NAMED.get(low)
    if name is not None:
        return name
    named_by_unicode = code >> 24 == 1
    letter = chr(low)
    return letter if letter.isprintable() and (low < 256 or named_by_unicode) else ""


class Window:
    """One window, open until :meth:`close` or until the user closes it.

    Raises:
        OptionError: there is no display, or no OpenCV that can open windows.
    """

    def __init__(self, title: str) -> None:
        self._cv2 = _cv2()
        self._title = self._says = title
        self._sized = False
        # resizable, and without the tool bar of some builds, which has keys of its own
        self._cv2.namedWindow(title, self._cv2.WINDOW_NORMAL | self._cv2.WINDOW_GUI_NORMAL)

    def show(self, pixels: Pixels) -> None:
        """A picture, uint8 [H, W, 3], blue first; the first one sets the window's size."""
        if not self._sized:
            height, width, _ = pixels.shape
            scale = max(1, round(GOOD_SIDE / min(height, width)))
            self._cv2.resizeWindow(self._title, width * scale, height * scale)
            self._sized = True
        self._cv2.imshow(self._title, pixels)

    def say(self, note: str) -> None:
        """Adds a note to the title; "" takes it away."""
        title = f"{self._title}: {note}" if note else self._title
        if title != self._says:
            self._says = title
            self._cv2.setWindowTitle(self._title, title)

    def key(self) -> str:
        """Waits a moment for a key, as :func:`key_of` names it; lets the window breathe."""
        return key_of(self._cv2.waitKeyEx(_TICK_MS))

    @property
    def open(self) -> bool:
        """False once the user has closed it."""
        return not self._sized or self._cv2.getWindowProperty(self._title, _VISIBLE) >= 1

    def close(self) -> None:
        """Closes the window."""
        self._cv2.destroyAllWindows()


def _cv2() -> Any:
    """OpenCV with windows; where there is no display it ends its whole process, so try it apart."""
    if sys.platform.startswith("linux") and not (
        os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
    ):
        raise OptionError(
            "there is no display here (DISPLAY and WAYLAND_DISPLAY are not set); use "
            "--headless out.mp4 --seconds 10"
        )
    try:
        import cv2
    except ImportError as error:
        raise OptionError(
            'a window needs OpenCV: pip install "magi-rt[viewer]" (or use --headless out.mp4)'
        ) from error
    if not _can_open():
        raise OptionError(_no_windows())
    return cv2


def _can_open() -> bool:
    """Whether another process of this Python survives what a window needs."""
    trial = [sys.executable, "-c", "import cv2; cv2.namedWindow('magi_rt'); cv2.waitKey(1)"]
    try:
        done = subprocess.run(trial, capture_output=True, timeout=_PROBE_S)
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0


def _no_windows() -> str:
    return (
        "the OpenCV of this environment cannot open windows here: if opencv-python-headless is "
        "installed, pip uninstall opencv-python-headless, then pip install --force-reinstall "
        "opencv-python; if the display cannot be reached, use --headless out.mp4 --seconds 10"
    )
