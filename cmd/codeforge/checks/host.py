"""The machine: its kernel, its Python, and room on the disks that are written to."""

from __future__ import annotations

import os
import platform
import shutil
import sys
import tempfile
from pathlib import Path

from codeforge.checks.finding import Finding, fail, ok, warn

_OLDEST_KERNEL = (5, 3)  # pidfd_open, by which the end of a process is awaited
_FULL_GIB = 1
_SCARCE_GIB = 5
_GIB = 1 << 30


def check_platform() -> Finding:
    """Workers live from what only Linux has: parents that outlive trees, and signals on death."""
    release = platform.release()
    if sys.platform != "linux":
        return fail(
            "platform",
            f"{platform.system()} {release}",
            "Workers need Linux: use a virtual machine or a container. "
            "Server and command line run here.",
        )
    found = tuple(int(part) for part in release.split("-")[0].split(".")[:2] if part.isdigit())
    if found < _OLDEST_KERNEL:
        return fail("platform", f"Linux {release}", "Workers need Linux 5.3 or later.")
    return ok("platform", f"Linux {release}, {platform.machine()}")


def check_python() -> Finding:
    """Only told: an older Python does not get so far."""
    return ok("python", f"{platform.python_version()} ({sys.executable})")


def check_directory(name: str, directory: Path) -> Finding:
    """Whether *directory*, the setting *name*, can be written and has room."""
    existing = next(path for path in (directory, *directory.parents) if path.exists())
    try:
        if existing == directory:
            with tempfile.TemporaryFile(dir=directory):
                pass
        elif not os.access(existing, os.W_OK | os.X_OK):
            return fail(name, f"{existing} is not writable", f"Give us the right, or set {name}.")
        free_gib = shutil.disk_usage(existing).free / _GIB
    except OSError as error:
        return fail(name, f"{directory}: {error.strerror}", f"Make it writable, or set {name}.")
    message = f"{directory}, {free_gib:.1f} GiB free"
    if free_gib < _FULL_GIB:
        return fail(name, message, f"Free {_FULL_GIB} GiB at least, or set {name}.")
    if free_gib < _SCARCE_GIB:
        return warn(name, message, "Repositories and workspaces may need more.")
    return ok(name, message)
