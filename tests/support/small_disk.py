"""A disk that is full, until its test makes room."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import pytest

_MIB = 1024 * 1024


@contextmanager
def small_disk(folder: Path) -> Generator[Path]:
    """A file system of 8 MiB at *folder*, full but for 40 KiB; the file that fills it."""
    mount = shutil.which("mount")
    assert mount is not None
    command = [mount, "-t", "tmpfs", "-o", "size=8m,mode=700", "tmpfs", str(folder)]
    if subprocess.run(command, capture_output=True, check=False).returncode != 0:
        pytest.skip("this system refuses to mount a file system")
    try:
        filler = folder / ".filler"
        filler.write_bytes(bytes(8 * _MIB - 40_960))
        yield filler
    finally:
        unmount = shutil.which("umount") or "umount"
        subprocess.run([unmount, "-l", str(folder)], check=True)
