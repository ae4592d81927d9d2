"""
Whose work lies on this disk: the deployment that a home belongs to, remembered at first contact.

A worker started against another Redis (a wrong prefix, an emptied server, an older backup) knows
none of the tasks on its disk. It must not take that for a reason to erase them.
"""

from __future__ import annotations

import contextlib
import os
import secrets
from pathlib import Path


def is_own_deployment(data_dir: Path, deployment: str) -> bool:
    """
    Whether *deployment* is the one this `data_dir` has always worked for; the first one is it.

    Raises:
        OSError: the directory cannot be read or written.
    """
    path = owner_file(data_dir)
    with contextlib.suppress(FileNotFoundError):
        return path.read_text().strip() == deployment
    making = path.with_name(f".{path.name}-{secrets.token_hex(4)}")
    making.write_text(f"{deployment}\n")
    try:
        with contextlib.suppress(FileExistsError):  # a link: of two that start together one wins
            os.link(making, path)
    finally:
        making.unlink()
    return path.read_text().strip() == deployment


def owner_file(data_dir: Path) -> Path:
    """Remove it to give the directory, with everything in it, to another deployment."""
    return data_dir / "deployment-id"
