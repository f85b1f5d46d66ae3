"""How a verb ends badly: one sentence on stderr and an exit code, never a traceback."""

from __future__ import annotations

import errno
import sys
from collections.abc import Sequence
from typing import Any

from typer.core import TyperGroup

from magi_rt.errors import MagiError

BAD_INPUT = 2
"""Exit code when something given cannot be used: an option, a file, a model."""

INTERRUPTED = 130
"""Exit code after Ctrl-C, as shells count it."""

FULL = (errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC))
"""A disk or a quota is full: met in the middle of a file, of which the error says no name."""


class PlainSpokenGroup(TyperGroup):
    """A command group that turns what the caller can mend into one sentence and exit code 2.

    Errors of our own making keep their traceback: they are for a bug report.
    """

    def main(
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        complete_var: str | None = None,
        standalone_mode: bool = True,
        windows_expand_args: bool = True,
        **extra: Any,
    ) -> Any:
        """Run the verb in `args` (default: the process arguments) and exit with its code."""
        try:
            code = super().main(
                args, prog_name or "magi-rt", complete_var, False, windows_expand_args, **extra
            )
        except MagiError as error:
            sys.exit(refuse(str(error)))
        except KeyboardInterrupt:
            sys.exit(INTERRUPTED)
        except OSError as error:
            # a name too long, a disk gone, a right not given: of the caller's world, not of ours
            if error.filename is None and error.errno not in FULL:
                raise
            sys.exit(refuse(f"{error.filename or 'the disk'} cannot be used: {error.strerror}"))
        except Exception as error:
            # the parser's own refusals: a class of their own in each release line of typer
            say = getattr(error, "format_message", None)
            if say is None:
                raise
            command = getattr(getattr(error, "ctx", None), "command_path", "magi-rt")
            sys.exit(refuse(f"{say().rstrip('.')}; {command} --help shows what there is"))
        sys.exit(code if isinstance(code, int) else 0)


def refuse(sentence: str) -> int:
    """Say what was wrong on stderr, in one line; returns the exit code for it."""
    print("magi-rt: " + " ".join(sentence.split()), file=sys.stderr)
    return BAD_INPUT
