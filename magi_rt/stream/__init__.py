"""The wire: frames out, prompts back, as docs/protocol.md writes it down."""

from __future__ import annotations
