"""How the pages become a site: python -m sphinx -n -W --keep-going docs out/site."""

from __future__ import annotations

from magi_rt import __version__

project = "magi_rt"
version = release = __version__
copyright = "the magi_rt authors, Apache-2.0"

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
exclude_patterns = ["_build"]
html_theme = "furo"
html_title = f"magi_rt {__version__}"
html_show_sphinx = False

# Links such as page.md#heading, as a reader on the code host sees them.
myst_heading_anchors = 3

# Docstrings are plain text: one pair of backticks is code there.
default_role = "literal"
autodoc_member_order = "bysource"
autodoc_typehints_format = "short"
autodoc_class_signature = "separated"

# Nothing is fetched to build, so names of other packages stay without links; ours must lead somewhere.
nitpick_ignore_regex = [(r"py:.*", r"(?!magi_rt).*")]
