"""The demo: a page on which a world is watched and steered."""
