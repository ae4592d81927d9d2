"""Loop: how much disk the workspaces of this home take, for `/health` and the registry."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

_PERIOD_SECONDS = 60.0
_MIB = 1 << 20


class WorkspaceUsage:
    """Measures below *root* at each period; `mebibytes` is the last result."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._bytes = 0

    @property
    def mebibytes(self) -> float:
        """What the files take on the disk, holes not counted."""
        return round(self._bytes / _MIB, 1)

    async def run(self, stop: asyncio.Event) -> None:
        """Measure until *stop*; a measurement under way ends with the process."""
        while not stop.is_set():
            self._bytes = await asyncio.to_thread(_measure, self._root)
            try:
                async with asyncio.timeout(_PERIOD_SECONDS):
                    await stop.wait()
            except TimeoutError:
                continue


def _measure(root: Path) -> int:
    total = 0
    folders = [str(root)]
    while folders:
        try:
            with os.scandir(folders.pop()) as entries:
                for entry in entries:
                    total += entry.stat(follow_symlinks=False).st_blocks * 512
                    if entry.is_dir(follow_symlinks=False):
                        folders.append(entry.path)
        except OSError:  # gone meanwhile, or locked by an agent
            continue
    return total
