"""
The id of a `data_dir`: made once, at random, and kept in it.

A worker's home is the place where its tasks' work lies. Hosts are renamed and disks move between
them, so the id belongs to the disk.
"""

from __future__ import annotations

import contextlib
import os
import secrets
from pathlib import Path

from internal.ids import random_token
from internal.workspace.layout import Layout

_ID_CHARS = 16


def home_id(layout: Layout) -> str:
    """
    The id of this data directory, made with it on first use; 16 hex digits.

    Raises:
        OSError: the directory cannot be written.
    """
    layout.data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    known = _read(layout.home_id_file)
    if known is not None:
        return known
    making = layout.home_id_file.with_name(f".home-id-{secrets.token_hex(4)}")
    making.write_text(random_token()[:_ID_CHARS] + "\n")
    try:
        # A link, not a rename: of two processes that start together the first wins.
        with contextlib.suppress(FileExistsError):
            os.link(making, layout.home_id_file)
    finally:
        making.unlink()
    return layout.home_id_file.read_text().strip()


def _read(path: Path) -> str | None:
    try:
        return path.read_text().strip() or None
    except FileNotFoundError:
        return None
