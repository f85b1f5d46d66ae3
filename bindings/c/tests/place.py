"""Sees that a page names the place where the build left the library: PAGE BUILD LIBRARY."""

from __future__ import annotations

import sys
from pathlib import Path

page, build, library = map(Path, sys.argv[1:])
place = f"build/{library.relative_to(build).as_posix()}"
if not library.exists() or f"`{place}`" not in page.read_text("utf-8"):
    sys.exit(f"{page} does not name {place}, where the library lies")
