"""How the pages become a site: python -m sphinx -n -W --keep-going docs out/site."""

from __future__ import annotations

from sphinx.application import Sphinx

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

# Nothing is fetched to build, so names of other packages have no links; ours must lead somewhere,
# but for the parts of a log and a receipt, which are nobody's to make, and the finest settings of
# a training, which are explained in their files.
nitpick_ignore_regex = [
    (r"py:.*", r"(?!magi_rt).*"),
    (r"py:class", r"magi_rt\.world\.(identity|start|orders|deadline|timeline)\.\w+"),
    (r"py:class", r"magi_rt\.stream\.(link\.Asked|received\.Memory)"),
    (r"py:class", r"magi_rt\.models\.(vae\.ViTVAE|vae_config\.VAEConfig)"),
    (r"py:class", r"magi_rt\.training\.(vae_clips|vae_loss|flow_settings|distill_loss)\.\w+"),
]

ELSEWHERE = {
    "../magi_rt/nano/README.md": "nano.md",
    "../magi_rt/training/LOG.md": "training-log.md",
    "../examples/godot/README.md": "godot.md",
    "../README.md": "index.md",
}
"""Pages that lie beside what they describe, and the page of the site that includes them."""


def link_elsewhere(app: Sphinx, page: str, source: list[str]) -> None:
    """Links that a reader of the repository follows out of docs/ stay within the site."""
    for there, here in ELSEWHERE.items():
        source[0] = source[0].replace(f"]({there}", f"]({here}")


def setup(app: Sphinx) -> None:
    app.connect("source-read", link_elsewhere)
