"""A server as a process of its own, to be measured, killed and started again."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from types import TracebackType
from typing import Self

from magi_rt.errors import BackendError


class ServedProcess:
    """`magi-rt serve` in another process, ready when the constructor returns.

    Args:
        model: what is served.
        port: for frames; 0 takes a free one.
        options: more options of the command, as typed.

    Attributes:
        address: of its frames.

    Raises:
        BackendError: the server did not start; with what it said.
    """

    def __init__(
        self, model: str = "dummy", *, port: int = 0, options: tuple[str, ...] = ()
    ) -> None:
        program = [sys.executable, "-m", "magi_rt.cli", "serve", model, "--port", str(port)]
        self._process = subprocess.Popen(
            [*program, *options],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env={**os.environ, "PYTHONUNBUFFERED": "1"},
        )
        said = self._first_lines()
        if "frames on " not in said:
            self.kill()
            raise BackendError(f"the server to be measured did not start: {said.strip()}")
        self.address = said.split("frames on ")[1].split(",")[0]

    @property
    def port(self) -> int:
        """Of its frames."""
        return int(self.address.rsplit(":", 1)[1])

    @property
    def memory_bytes(self) -> int:
        """Resident memory now; 0 where the system does not tell."""
        try:
            statm = Path(f"/proc/{self._process.pid}/statm").read_text(encoding="ascii")
            return int(statm.split()[1]) * os.sysconf("SC_PAGE_SIZE")
        except (OSError, ValueError, IndexError):
            return 0

    @property
    def cpu_s(self) -> float:
        """Processor time so far, in seconds; 0 where the system does not tell."""
        try:
            stat = Path(f"/proc/{self._process.pid}/stat").read_text(encoding="ascii")
            user, system = stat.rsplit(")", 1)[1].split()[11:13]
            return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")
        except (OSError, ValueError, IndexError):
            return 0.0

    def kill(self) -> None:
        """Ends it without a word, as kill -9 does; does nothing the second time."""
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait()
        if self._process.stdout is not None:
            self._process.stdout.close()

    def _first_lines(self) -> str:
        assert self._process.stdout is not None
        said = ""
        for line in self._process.stdout:
            said += line
            if "Ctrl-C" in line:
                break
        return said

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.kill()
